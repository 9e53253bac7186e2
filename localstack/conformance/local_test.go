package conformance_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/conformance"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func TestLocalAWS(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a local AWS")
	}
	emulator, err := localstack.Start(t.Context(), localstack.Options{Log: t.Output()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, emulator.Stop()) })
	cfg := emulator.Config()
	cfg.HTTPClient = whole{cfg.HTTPClient}
	db := dynamodb.NewFromConfig(cfg)
	for _, table := range fakeaws.StackTables("drover-") {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}

	conformance.RunDynamoDB(t, "drover-", func(*testing.T) dynamo.API { return db },
		"a selection that does not go with its query is refused") // the emulator accepts it
	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(db, "drover-") })
}

// whole reads each response to its end before it returns it. Otherwise, once in some thousand requests on a busy machine, the connection closes while
// the SDK reads a response. The SDK then retries the request, and the condition of a write that already took effect fails.
type whole struct{ aws.HTTPClient }

func (w whole) Do(request *http.Request) (*http.Response, error) {
	response, err := w.HTTPClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, err
}
