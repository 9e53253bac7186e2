package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/aws/smithy-go/encoding/cbor"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// said is an error in the form in which a service returns it.
type said struct {
	status  int
	code    string
	message string
	// reasons has, for each write of a transaction, why it was not made.
	reasons []reason
}

type reason struct {
	Code    string `json:"Code"`
	Message string `json:"Message,omitempty"`
}

// throttles holds the throttling errors of services that do not answer ThrottlingException with status 400.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
// https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html
var throttles = map[string]said{
	"DynamoDB": {status: 400, code: "ProvisionedThroughputExceededException"},
	"SQS":      {status: 400, code: "RequestThrottled"},
	"Lambda":   {status: 429, code: "TooManyRequestsException"},
	"S3":       {status: 503, code: "SlowDown"},
	"SNS":      {status: 400, code: "Throttled"},
}

// conflicting reports whether an operation can conflict with a transaction.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling
func conflicting(service, operation string) bool {
	return service == "DynamoDB" && slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}, operation)
}

// refusal returns the service's error.
func refusal(v verdict, service, operation string, writes int) said {
	if operation == "TransactWriteItems" && writes > 0 && (v.kind == Conflict || v.random.IntN(2) == 0) {
		code := "TransactionConflict"
		if v.kind == Throttle {
			code = "ThrottlingError"
		}
		s := said{status: 400, code: "TransactionCanceledException", reasons: make([]reason, writes)}
		for i := range s.reasons {
			s.reasons[i].Code = "None"
		}
		s.reasons[v.random.IntN(writes)] = reason{code, "a fault"}
		s.message = fmt.Sprintf("Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", code)
		return s
	}
	s, own := throttles[service]
	if !own {
		s = said{status: 400, code: "ThrottlingException"}
	}
	if v.kind == Conflict {
		s.code = "TransactionConflictException"
	}
	s.message = "Rate exceeded by a fault"
	return s
}

// response returns the error in the protocol of the request.
func (s said) response(request *smithyhttp.Request) *smithyhttp.Response {
	header := http.Header{}
	var body []byte
	switch {
	case request.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		header.Set("Smithy-Protocol", "rpc-v2-cbor")
		header.Set("Content-Type", "application/cbor")
		body = cbor.Encode(cbor.Map{"__type": cbor.String(s.code), "message": cbor.String(s.message)})
	case request.Header.Get("X-Amz-Target") != "":
		header.Set("Content-Type", "application/x-amz-json-1.0")
		body = s.json(true)
	case request.Header.Get("Content-Type") == "application/x-www-form-urlencoded":
		header.Set("Content-Type", "text/xml")
		body = fmt.Appendf(nil, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>fault</RequestId></ErrorResponse>", s.code, s.message)
	case s.code == throttles["S3"].code:
		header.Set("Content-Type", "application/xml")
		body = fmt.Appendf(nil, "<Error><Code>%s</Code><Message>%s</Message><RequestId>fault</RequestId></Error>", s.code, s.message)
	default:
		header.Set("Content-Type", "application/json")
		header.Set("X-Amzn-Errortype", s.code)
		body = s.json(false)
	}
	return &smithyhttp.Response{Response: &http.Response{
		StatusCode: s.status, Status: fmt.Sprintf("%d %s", s.status, http.StatusText(s.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: request.Request,
	}}
}

func (s said) json(typed bool) []byte {
	out := map[string]any{"message": s.message}
	if typed {
		out["__type"] = "com.amazonaws#" + s.code
	}
	if s.reasons != nil {
		out["CancellationReasons"] = s.reasons
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // it holds only strings
	}
	return text
}
