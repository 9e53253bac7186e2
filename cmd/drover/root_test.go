package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var commands = strings.Fields("plan assess validate apply diff submit job jobs tasks task labourers labourer watch pause resume cancel dead replay redrive doctor version init deploy")

func TestTheHelpListsEveryCommandAndEachHasAnExample(t *testing.T) {
	for _, text := range []string{pure(t, "--help").ok(), pure(t).ok()} {
		for _, c := range commands {
			require.Regexp(t, `(?m)^  `+c+`\s`, text)
		}
	}
	for _, c := range commands {
		help := pure(t, c, "--help").ok()
		require.Contains(t, help, "Examples:", c)
		require.NotContains(t, help, "(default -", "a default that only the program understands")
		require.Regexp(t, `(?m)^.*\bdrover (--json )?`+regexp.QuoteMeta(c)+`\b`, help)
	}
}

func TestBadUsageEndsWithTwoAndAMessageOnStandardErrorAlone(t *testing.T) {
	for line, word := range map[string]string{
		"frobnicate":                        "frobnicate",
		"jobs --frobnicate":                 "--frobnicate",
		"jobs nightly":                      "nightly",
		"job":                               "ID is missing",
		"job a b":                           "b",
		"task":                              "ID is missing",
		"task x --date yesterday":           "--date",
		"tasks --status sleeping":           "--status",
		"jobs --state scheduledd":           "did you mean scheduled?",
		"pause":                             "LABOURER is missing",
		"submit":                            "FILE is missing",
		"apply":                             "-f FILE or --remove NAME is missing",
		"apply x.yaml":                      "-f FILE or --remove NAME is missing",
		"apply --drain -f x.yaml":           "--remove",
		"diff":                              "-f FILE is missing",
		"validate":                          "-f FILE is missing",
		"validate -f /nowhere.yaml":         "/nowhere.yaml",
		"plan":                              "JOB.json is missing",
		"plan /nowhere.json":                "/nowhere.json",
		"assess shop":                       "-f FILE is missing",
		"assess -f x.yaml shop --running=x": "running",
		"replay":                            "exactly one",
		"replay x.1 --job nightly":          "exactly one",
		"watch now":                         "now",
		"--stack":                           "stack",
	} {
		t.Run(line, func(t *testing.T) {
			pure(t, strings.Fields(line)...).fails(misuse, word)
			pure(t, append([]string{"--json"}, strings.Fields(line)...)...).fails(misuse, word)
		})
	}
}

func TestAStackThatDoesNotExistIsNamed(t *testing.T) {
	g := newGround(t)
	configuration := file(t, "shop.yaml", shop)
	for _, line := range []string{"jobs", "tasks", "dead", "job x", "labourers", "labourer x", "watch", "pause x", "resume x", "cancel x", "replay x.1 --stack nope", "apply -f " + configuration} {
		if strings.HasPrefix(line, "replay") {
			line = "replay --job x"
		}
		g.drover(append([]string{"--stack", "no-such-stack"}, strings.Fields(line)...)...).fails(failed, "no-such-stack")
	}
}

func TestWithoutARegionOrCredentialsTheErrorSaysHowToSetThem(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, file(t, "none", ""))
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")

	_, err := openStack(t.Context(), "drover")
	require.ErrorContains(t, err, "no region: set AWS_REGION")

	t.Setenv("AWS_REGION", "eu-west-1")
	_, err = openStack(t.Context(), "drover")
	require.ErrorContains(t, err, "no credentials: set AWS_PROFILE")
}

func TestAnEndedSessionSaysHowToSignIn(t *testing.T) {
	const plain = "sso_start_url = https://corp.example/start\nsso_region = us-east-1\nsso_account_id = 111122223333\nsso_role_name = dev\nregion = us-east-1\n"
	const session = "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = dev\nregion = us-east-1\n[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.example/start\n"
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir()) // which holds no session
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file(t, "none", ""))
	t.Setenv("AWS_PROFILE", "my corp")
	for _, profile := range []string{plain, session} {
		t.Setenv("AWS_CONFIG_FILE", file(t, "config", "[profile my corp]\n"+profile))
		var out, errs strings.Builder
		s := &shell{out: &out, err: &errs, environment: os.Getenv, open: openStack}
		require.Equal(t, failed, run(t.Context(), s, []string{"jobs"}))
		require.Contains(t, errs.String(), "the SSO session has ended: aws sso login --profile 'my corp'")
	}
}

func TestAStackOfAnotherTemplateIsRefused(t *testing.T) {
	g := newGround(t)
	delete(g.stack.Outputs, "JobsTableName")
	g.drover("jobs").fails(failed, "JobsTableName")
}

func TestAMissingJobTaskOrLabourerIsNamed(t *testing.T) {
	g := newGround(t)
	for line, words := range map[string][]string{
		"job unknown": {"job", "unknown"}, "task unknown.1": {"unknown.1"}, "task aaaaaaaaaaaaaaaa.1": {"aaaaaaaaaaaaaaaa.1"},
		"labourer unknown": {"labourer", "unknown"}, "pause unknown": {"unknown"}, "resume unknown": {"unknown"}, "cancel unknown": {"unknown"},
		"tasks --job unknown": {"unknown"}, "tasks --labourer unknown": {"unknown"}, "jobs --labourer unknown": {"unknown"}, "dead --job unknown": {"unknown"},
		"tasks --labourer unknown --status running": {"unknown"}, "tasks --job unknown --status running": {"unknown"},
		"replay --job unknown": {"unknown"}, "replay unknown.1": {"unknown.1"}, "replay aaaaaaaaaaaaaaaa.1": {"aaaaaaaaaaaaaaaa.1"}, "replay --labourer unknown": {"unknown"},
		"apply --remove unknown": {"unknown"},
	} {
		t.Run(line, func(*testing.T) {
			g.drover(append([]string{"--json"}, strings.Fields(line)...)...).fails(failed, words...)
		})
	}
}

func TestTheStackComesFromTheEnvironment(t *testing.T) {
	s := &shell{environment: func(name string) string { return map[string]string{"DROVER_STACK": "mine"}[name] }}
	newRoot(s)
	require.Equal(t, "mine", s.stackName)
	s.environment = func(string) string { return "" }
	newRoot(s)
	require.Equal(t, "drover", s.stackName)
}

func TestAFileAPipeAndTheNullDeviceAreNoTerminals(t *testing.T) {
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	plainFile, err := os.Open(file(t, "x", ""))
	require.NoError(t, err)
	defer plainFile.Close()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	defer write.Close()
	for _, stream := range []any{null, plainFile, read, io.Discard} {
		require.False(t, terminal(stream))
	}
}

func TestControlCharactersAreNotPrinted(t *testing.T) {
	require.Equal(t, "a b c [31mred", plain("a\tb\nc\x1b[31mred"))
	require.Equal(t, "grün … né", plain("grün … né"))
	require.Equal(t, "abc…", short("abcdefg", 4))
	require.Equal(t, "abcd", short("abcd", 4))
}
