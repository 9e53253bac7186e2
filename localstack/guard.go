package localstack

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// AllowAWS names the variable that, set to 1, lets tests talk to AWS itself.
const AllowAWS = "DROVER_TEST_AWS"

// awsDomains lists the suffixes of AWS's hosts in all partitions that the SDK knows (its internal/endpoints/awsrulesfn/partitions.json).
var awsDomains = []string{
	"amazonaws.com", "api.aws", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "amazonaws.eu", "api.amazonwebservices.eu", "c2s.ic.gov",
	"api.aws.ic.gov", "sc2s.sgov.gov", "api.aws.scloud", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk",
}

// Guard wraps next, or the SDK's own client if next is nil, and refuses requests to AWS itself, so that a test with a wrong setting fails
// instead of changing a real account. DROVER_TEST_AWS=1 lets everything through.
func Guard(next aws.HTTPClient) aws.HTTPClient {
	if next == nil {
		next = awshttp.NewBuildableClient()
	}
	if os.Getenv(AllowAWS) == "1" {
		return next
	}
	return guard{next}
}

type guard struct{ next aws.HTTPClient }

func (g guard) Do(request *http.Request) (*http.Response, error) {
	host := strings.TrimSuffix(strings.ToLower(request.URL.Hostname()), ".")
	for _, domain := range awsDomains {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return nil, refusedError{host}
		}
	}
	return g.next.Do(request)
}

type refusedError struct{ host string }

func (e refusedError) Error() string {
	return fmt.Sprintf("a test would call AWS itself (%s): set AWS_ENDPOINT_URL to a local AWS, or %s=1 to allow it", e.host, AllowAWS)
}

// RetryableError tells the SDK not to retry.
func (refusedError) RetryableError() bool { return false }
