package pattern_test

import (
	"fmt"

	"github.com/drover-run/drover/shared/core/pattern"
)

func Example() {
	filter, errs := pattern.Parse([]byte(`{"country": ["AT", "DE"], "total": [{"numeric": [">", 100]}]}`))
	if errs != nil {
		fmt.Println(errs)
	}
	metadata, err := pattern.Read([]byte(`{"country": "AT", "total": 99.5}`))
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(filter.Match(metadata).Reason())

	_, errs = pattern.Parse([]byte(`{"country": [{"prefx": "A"}]}`))
	fmt.Println(errs.Under("plugins.check_stock.filter"))
	// Output:
	// total is 99.5; want [{"numeric":[">",100]}]
	// plugins.check_stock.filter.country[0].prefx: is no operator; did you mean prefix?
}
