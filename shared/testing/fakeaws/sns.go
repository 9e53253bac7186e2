package fakeaws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	topics "github.com/drover-run/drover/shared/aws/sns"
)

// SNS holds topics in memory. It delivers nothing and records what was published. It is safe for concurrent use.
type SNS struct {
	Hooks

	mu        sync.Mutex
	topics    []string
	published []Published
}

// Published is a message to a topic.
type Published struct{ Topic, Subject, Message string }

// NewSNS returns an SNS with these topics, given by their ARNs. If none are given, every topic exists.
func NewSNS(arns ...string) *SNS { return &SNS{topics: arns} }

var _ topics.API = (*SNS)(nil)

// Published returns what was published to a topic, in order.
func (s *SNS) Published(topic string) []Published {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.published), func(p Published) bool { return p.Topic != topic })
}

// Limits of messages.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
const (
	mostSubject = 99
	mostMessage = 256 << 10
)

// Publish records a message.
func (s *SNS) Publish(ctx context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return serve(ctx, &s.Hooks, Request{sns.ServiceID, "Publish", in}, func() (*sns.PublishOutput, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		topic, subject, message := aws.ToString(in.TopicArn), aws.ToString(in.Subject), aws.ToString(in.Message)
		wrong := func(what string) error {
			return &types.InvalidParameterException{Message: aws.String("Invalid parameter: " + what)}
		}
		switch {
		case s.topics != nil && !slices.Contains(s.topics, topic):
			return nil, &types.NotFoundException{Message: aws.String("Topic does not exist")}
		case message == "":
			return nil, wrong("Empty message")
		case len(message) > mostMessage:
			return nil, wrong("Message too long")
		case in.Subject != nil && (subject == "" || len(subject) > mostSubject):
			return nil, wrong("Subject")
		case strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r > '~' }):
			return nil, wrong("Subject")
		}
		s.published = append(s.published, Published{topic, subject, message})
		return &sns.PublishOutput{MessageId: aws.String(fmt.Sprintf("00000000-0000-0000-0000-%012d", len(s.published)))}, nil
	})
}
