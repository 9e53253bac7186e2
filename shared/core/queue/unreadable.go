package queue

import (
	"fmt"
	"time"
)

// Unreadable says that an item of a labourer cannot be decoded. It takes the place of the item, beside the items that can be read: so it
// blocks none of them, and a reader keeps the cap without handling it.
type Unreadable struct {
	Item   string    // its sort key
	Was    string    // its sort key before it was set aside; empty until then
	Reason string    // why it cannot be decoded
	Since  time.Time // when a reaper first saw the item, or set it aside; zero: neither has happened
}

func (u Unreadable) Error() string { return fmt.Sprintf("%s cannot be read: %s", u.Item, u.Reason) }
