package pattern

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// longestAddress bounds the text of an address, with zeros in front of its groups.
const longestAddress = 45

// address returns the IP address that a text is. Groups may begin with zeros, which count as decimal in IPv4. An IPv6 address that stands for
// an IPv4 one is that one. Addresses with a zone or with both colons and dots are none, as in event-ruler.
func address(text string) (netip.Addr, bool) {
	separator := "."
	if strings.Contains(text, ":") {
		separator = ":"
	}
	if len(text) > longestAddress || strings.Trim(text, "0123456789abcdefABCDEF"+separator) != "" || !strings.Contains(text, separator) {
		return netip.Addr{}, false
	}
	groups := strings.Split(text, separator)
	for i, group := range groups {
		if short := strings.TrimLeft(group, "0"); group != "" {
			groups[i] = cmp.Or(short, "0")
		}
	}
	found, err := netip.ParseAddr(strings.Join(groups, separator))
	if err != nil {
		return netip.Addr{}, false
	}
	return found.Unmap(), true
}

// block returns the addresses of a CIDR block. The bits behind its mask are ignored.
func block(text string) (netip.Prefix, error) {
	base, mask, found := strings.Cut(text, "/")
	if !found {
		return netip.Prefix{}, errors.New("has no mask; want an address and its bits, as in 10.0.0.0/24")
	}
	from, ok := address(base)
	if !ok {
		return netip.Prefix{}, fmt.Errorf("begins with %q; want an IPv4 or IPv6 address", shorten(base))
	}
	bits, err := strconv.ParseUint(mask, 10, 8)
	if err != nil || int(bits) > from.BitLen() {
		return netip.Prefix{}, fmt.Errorf("has the mask %q; want 0 to %d bits", shorten(mask), from.BitLen())
	}
	return netip.PrefixFrom(from, int(bits)).Masked(), nil
}

// sameAddress holds for every spelling of the address.
func sameAddress(one netip.Addr) operator { return within{netip.PrefixFrom(one, one.BitLen())} }
