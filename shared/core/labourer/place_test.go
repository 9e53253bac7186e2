package labourer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
)

func TestATargetsAddressGivesItsPlace(t *testing.T) {
	lambda := func(address string) labourer.Target { return labourer.Target{Lambda: address} }
	sqs := func(address string) labourer.Target { return labourer.Target{SQS: address} }
	for name, c := range map[string]struct {
		target labourer.Target
		want   labourer.Place
	}{
		"a function":              {lambda("arn:aws:lambda:eu-west-1:111122223333:function:f:live"), labourer.Place{Partition: "aws", Region: "eu-west-1", Account: "111122223333"}},
		"a function by its name":  {lambda("f"), labourer.Place{}},
		"a name with an alias":    {lambda("f:live"), labourer.Place{}},
		"a partial ARN":           {lambda("111122223333:function:f"), labourer.Place{Account: "111122223333"}},
		"a machine in China":      {labourer.Target{States: "arn:aws-cn:states:cn-north-1:111122223333:stateMachine:m"}, labourer.Place{Partition: "aws-cn", Region: "cn-north-1", Account: "111122223333"}},
		"a queue":                 {sqs("https://sqs.eu-west-1.amazonaws.com/111122223333/q"), labourer.Place{Region: "eu-west-1", Account: "111122223333"}},
		"a queue in China":        {sqs("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q"), labourer.Place{Partition: "aws-cn", Region: "cn-north-1", Account: "111122223333"}},
		"a queue for the state":   {sqs("https://sqs-fips.us-gov-west-1.amazonaws.com/111122223333/q"), labourer.Place{Partition: "aws-us-gov", Region: "us-gov-west-1", Account: "111122223333"}},
		"a queue's older host":    {sqs("https://eu-west-1.queue.amazonaws.com/111122223333/q"), labourer.Place{Region: "eu-west-1", Account: "111122223333"}},
		"a queue's oldest host":   {sqs("https://queue.amazonaws.com/111122223333/q"), labourer.Place{Region: "us-east-1", Account: "111122223333"}},
		"a queue's newest host":   {sqs("https://sqs.eu-west-1.api.aws/111122223333/q"), labourer.Place{Region: "eu-west-1", Account: "111122223333"}},
		"a queue through a VPC":   {sqs("https://vpce-1a-2b.sqs.eu-west-1.vpce.amazonaws.com/111122223333/q"), labourer.Place{Region: "eu-west-1", Account: "111122223333"}},
		"a queue of a local AWS":  {sqs("http://localhost:4566/000000000000/q"), labourer.Place{Account: "000000000000"}},
		"a queue of another kind": {sqs("http://localhost:4566/q"), labourer.Place{}},
		"nothing":                 {labourer.Target{}, labourer.Place{}},
	} {
		require.Equal(t, c.want, c.target.Place(), name)
	}
}
