package referee

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
)

// Dynoxide names the folder, within that of DROVER_REFEREES, in which the Makefile installs the pinned version.
const Dynoxide = "dynoxide-3.2.0"

// begin limits how long the server may take to answer. It takes milliseconds on an idle machine.
const begin = 30 * time.Second

// Start runs a dynoxide in memory for as long as the test lasts, and returns a client for it.
func Start(t *testing.T) *dynamodb.Client {
	t.Helper()
	folder := os.Getenv("DROVER_REFEREES")
	require.NotEmpty(t, folder, "DROVER_REFEREES names no folder: make referees sets it")
	port := free(t)
	server := exec.Command(filepath.Join(folder, Dynoxide, "bin", "dynoxide"), "serve", "--log", "quiet", "--port", fmt.Sprint(port)) //nolint:noctx // the cleanup ends it
	server.Stderr = t.Output()
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(fmt.Sprintf("http://127.0.0.1:%d", port)),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	ctx, cancel := context.WithTimeout(t.Context(), begin)
	defer cancel()
	for {
		_, err := client.ListTables(ctx, &dynamodb.ListTablesInput{})
		if err == nil {
			return client
		}
		require.NoError(t, ctx.Err(), "dynoxide does not answer: %v", err)
		time.Sleep(10 * time.Millisecond)
	}
}

// free returns a port that nothing listens on.
func free(t *testing.T) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // the address of a TCP listener
}

// Create makes the stack's tables with this prefix, and deletes them after the test.
func Create(t *testing.T, db *dynamodb.Client, tables []*dynamodb.CreateTableInput) {
	t.Helper()
	for _, table := range tables {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
		t.Cleanup(func() {
			_, err := db.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: table.TableName})
			require.NoError(t, err)
		})
	}
}
