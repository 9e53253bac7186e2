package localstack

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Target is where tests deploy to: an [Emulator], or what [Settings] finds.
type Target interface {
	// Config returns the settings by which SDK clients reach it.
	Config() aws.Config
	// Environ returns the environment of programs that are to reach it.
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

// Settings returns the target that this process's AWS settings point to: a local AWS where AWS_ENDPOINT_URL is set, else AWS itself. [Guard]
// protects it, so tests reach AWS itself only with DROVER_TEST_AWS=1.
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
