package queue

import (
	"fmt"
	"time"
)

// Unreadable says that an item of a labourer cannot be decoded. It comes in the place of what the item stands for, beside the others that can
// be read: so it holds up none of them, and no reader has to handle it to keep the cap.
type Unreadable struct {
	Item   string    // its sort key
	Was    string    // its sort key before it was set aside; "" until then
	Reason string    // why it cannot be decoded
	Since  time.Time // when a reaper first saw it, or set it aside; zero: neither has happened
}

func (u Unreadable) Error() string { return fmt.Sprintf("%s cannot be read: %s", u.Item, u.Reason) }
