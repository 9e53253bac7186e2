package settings

import "github.com/aws/smithy-go/middleware"

// NewChain removes the header by which Lambda recognizes a chain of calls. Lambda ends a chain that contains a function more than 16 times, and
// workers whose completions start the next tasks would be such a chain: each start of a worker begins a new one. Add it to the APIOptions of a
// request.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
func NewChain(request *middleware.Stack) error {
	const detection = "RecursionDetection"
	if _, present := request.Build.Get(detection); !present {
		return nil
	}
	_, err := request.Build.Remove(detection)
	return err
}
