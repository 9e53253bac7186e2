package packaging_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/packaging"
)

const template = `Parameters:
  Architecture: {Type: String, Default: x86_64}
  Secret: {Type: String}
Resources:
  Über: {Type: "AWS::Serverless::Function", Properties: {Name: äöü, CodeUri: ../code/one, Handler: x}}
  Twice:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ../code/one   # the same
      Other: !Sub "${AWS::Region}"
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: ../machine.json
  Uploaded: {Type: "AWS::Serverless::Function", Properties: {CodeUri: "s3://there/one.zip"}}
  Placed: {Type: "AWS::Serverless::Function", Properties: {CodeUri: {Bucket: there, Key: two.zip}}}
  Else: {Type: "AWS::SQS::Queue", Properties: {CodeUri: not-code}}
Outputs:
  TemplateVersion: {Value: not-stamped}
`

func TestTheCodeOfATemplateIsFoundAndItsPlacesAreWrittenIntoIt(t *testing.T) {
	read, err := packaging.Read([]byte(template))
	require.NoError(t, err)
	require.Equal(t, []string{"../code/one", "../machine.json"}, read.Paths())
	require.Equal(t, map[string]string{"Architecture": "x86_64", "Secret": ""}, read.Parameters())
	require.True(t, read.HasOutput("TemplateVersion"))
	require.False(t, read.HasOutput("Architecture"), "that is a parameter")

	text := string(read.With("b", map[string]string{"../code/one": "1.zip", "../machine.json": "2.json"}))

	require.Contains(t, text, "Name: äöü, CodeUri: s3://b/1.zip, Handler: x}}")
	require.Contains(t, text, "      CodeUri: s3://b/1.zip   # the same\n")
	require.Contains(t, text, "      DefinitionUri: {Bucket: \"b\", Key: \"2.json\"}\n")
	require.Contains(t, text, "{Value: "+packaging.Version([]byte(template))+"}")
	for _, same := range []string{`!Sub "${AWS::Region}"`, "s3://there/one.zip", "{Bucket: there, Key: two.zip}", "{CodeUri: not-code}"} {
		require.Contains(t, text, same)
	}
	again, err := packaging.Read([]byte(text))
	require.NoError(t, err, "it is a template again")
	require.Empty(t, again.Paths())
}

func TestTheCodeOfSeveralFunctionsOnOneLineIsReplaced(t *testing.T) {
	read, err := packaging.Read([]byte(`Resources: {F: {Type: "AWS::Serverless::Function", Properties: {CodeUri: a}}, ` +
		`G: {Type: "AWS::Serverless::Function", Properties: {CodeUri: b}}, M: {Type: "AWS::Serverless::StateMachine", Properties: {DefinitionUri: ../c}}}`))
	require.NoError(t, err)
	require.Equal(t, `Resources: {F: {Type: "AWS::Serverless::Function", Properties: {CodeUri: s3://x/1.zip}}, `+
		`G: {Type: "AWS::Serverless::Function", Properties: {CodeUri: s3://x/2.zip}}, `+
		`M: {Type: "AWS::Serverless::StateMachine", Properties: {DefinitionUri: {Bucket: "x", Key: "3.json"}}}}`,
		string(read.With("x", map[string]string{"a": "1.zip", "b": "2.zip", "../c": "3.json"})))
}

func TestATemplateThatCannotBePackagedIsRefused(t *testing.T) {
	for text, word := range map[string]string{
		"":         "not a mapping",
		"- a":      "not a mapping",
		"a: [":     "cannot be read",
		"Types: x": "no Resources",
		"Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: \"a/b\"}}}":         "line 1: CodeUri \"a/b\" has to be written without quotes",
		"Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: a\n b}\n": "line 4: CodeUri \"a b\" has to be written without quotes",
	} {
		_, err := packaging.Read([]byte(text))
		require.ErrorContains(t, err, word, text)
	}
}

func TestTheSameFilesMakeTheSameZip(t *testing.T) {
	one, two := packaging.File{Name: "bootstrap", Content: []byte("program"), Executable: true}, packaging.File{Name: "a/data.txt", Content: []byte("data")}

	first, err := packaging.Zip([]packaging.File{one, two})
	require.NoError(t, err)
	second, err := packaging.Zip([]packaging.File{two, one})
	require.NoError(t, err)

	require.Equal(t, first, second)
	require.Equal(t, packaging.Key(first, ".zip"), packaging.Key(second, ".zip"))
	two.Content = []byte("other")
	third, err := packaging.Zip([]packaging.File{one, two})
	require.NoError(t, err)
	require.NotEqual(t, packaging.Key(first, ".zip"), packaging.Key(third, ".zip"))

	archive, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	require.NoError(t, err)
	require.Len(t, archive.File, 2)
	require.Equal(t, "a/data.txt", archive.File[0].Name)
	require.Equal(t, "-rw-r--r--", archive.File[0].Mode().String())
	require.Equal(t, "-rwxr-xr-x", archive.File[1].Mode().String(), "Lambda runs it")
	file, err := archive.File[1].Open()
	require.NoError(t, err)
	text, err := io.ReadAll(file)
	require.NoError(t, err)
	require.Equal(t, "program", string(text))
}

func TestTheSameFilesMakeTheSameTar(t *testing.T) {
	one, two := packaging.File{Name: "drover", Content: []byte("program"), Executable: true}, packaging.File{Name: "LICENSE", Content: []byte("text")}

	first, err := packaging.Tar([]packaging.File{one, two})
	require.NoError(t, err)
	second, err := packaging.Tar([]packaging.File{two, one})
	require.NoError(t, err)

	require.Equal(t, first, second)
	plain, err := gzip.NewReader(bytes.NewReader(first))
	require.NoError(t, err)
	archive := tar.NewReader(plain)
	for _, want := range []struct{ name, mode, text string }{{"LICENSE", "-rw-r--r--", "text"}, {"drover", "-rwxr-xr-x", "program"}} {
		file, err := archive.Next()
		require.NoError(t, err)
		require.Equal(t, want.name, file.Name)
		require.Equal(t, want.mode, file.FileInfo().Mode().String())
		require.Equal(t, 1980, file.ModTime.UTC().Year(), "as in a zip")
		text, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.Equal(t, want.text, string(text))
	}
	_, err = archive.Next()
	require.ErrorIs(t, err, io.EOF)
}
