package bill_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/bill"
)

func TestABillHasALineForEachPriceAndTheirSum(t *testing.T) {
	l := bill.List{Prices: []bill.Price{{What: "tea", Dollars: 2}, {What: "milk", Dollars: 0.5}}}

	lines, sum := l.Bill(bill.Amounts{"milk": 3})

	require.Equal(t, []bill.Line{{"tea", 0, 0}, {"milk", 3, 1.5}}, lines)
	require.Equal(t, 1.5, sum)
}

func TestWhatHasNoPriceIsNotForgotten(t *testing.T) {
	require.Panics(t, func() { bill.List{}.Bill(bill.Amounts{"milk": 3}) })
}

func TestEachPriceOfAWSHasASource(t *testing.T) {
	l := bill.AWS()
	require.NotEmpty(t, l.AsOf)
	for _, p := range l.Prices {
		require.Positive(t, p.Dollars, p.What)
		require.Contains(t, p.Source, "https://aws.amazon.com/", p.What)
	}
}
