package localstack

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Target names where tests deploy to: an [Emulator], or the result of [Settings].
type Target interface {
	// Config returns the settings by which SDK clients reach it.
	Config() aws.Config
	// Environ returns the environment for programs that use it.
	Environ() []string
	// OnAWS reports whether the target is AWS itself.
	OnAWS() bool
}

var (
	_ Target = (*Emulator)(nil)
	_ Target = settings{}
)

// OnAWS returns false.
func (e *Emulator) OnAWS() bool { return false }

type settings struct{ config aws.Config }

// Settings returns the target of this process's AWS settings: a local AWS if AWS_ENDPOINT_URL is set, else AWS itself. [Guard] protects it, so tests
// reach AWS itself only with DROVER_TEST_AWS=1.
func Settings(ctx context.Context) (Target, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	cfg.HTTPClient = Guard(nil)
	return settings{cfg}, nil
}

func (s settings) Config() aws.Config { return s.config }

func (s settings) Environ() []string { return append(os.Environ(), "AWS_REGION="+s.config.Region) }

func (s settings) OnAWS() bool { return aws.ToString(s.config.BaseEndpoint) == "" }
