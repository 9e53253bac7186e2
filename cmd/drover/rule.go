package main

import (
	"context"

	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
)

// rules is the calls of EventBridge that the command line makes.
type rules interface {
	DescribeRule(context.Context, *awseventbridge.DescribeRuleInput, ...func(*awseventbridge.Options)) (*awseventbridge.DescribeRuleOutput, error)
}
