package dynamo_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

// hands returns hands with the same text for each of these tasks.
func hands(of string, numbers ...string) types.AttributeValue {
	out := fakeaws.Item{}
	for _, n := range numbers {
		out[n] = text(of)
	}
	return &types.AttributeValueMemberM{Value: out}
}

// numbersTo returns the numbers 0 to n-1.
func numbersTo(n int) []string {
	out := make([]string, n)
	for i := range n {
		out[i] = strconv.Itoa(i)
	}
	return out
}

// intactLease returns a stored lease that can be decoded: three tasks are in hand, four may be, and six wait.
func intactLease() fakeaws.Item {
	return fakeaws.Item{"labourer": text("l"), "item": text("lease#2jxtsgokhmkcw7cc#1#000"), "tasks": text("0-9"), "waiting": text("4-9"), "slots": number("4"),
		"revision": number("1048576"), "due": number("1795348800000"), "claimed_at": number("1795348800000"), "hands": hands("0.d", "1", "2", "3")}
}

func TestADamagedLeaseTakesAsManySlotsAsItMayHaveTasksInHand(t *testing.T) {
	for name, c := range map[string]struct {
		damage fakeaws.Item // nil values are attributes that are lost
		slots  int
		why    string
	}{
		"another revision":             {fakeaws.Item{"revision": text("x")}, 4, "attribute revision is S; it must be N"},
		"no due time":                  {fakeaws.Item{"due": nil}, 4, "attribute due is missing"},
		"no claim":                     {fakeaws.Item{"claimed_at": nil}, 4, "attribute claimed_at is missing"},
		"a fraction":                   {fakeaws.Item{"feed_until": number("1.5")}, 4, "attribute feed_until is no whole number"},
		"a number as the job":          {fakeaws.Item{"job": number("1")}, 4, "attribute job is N; it must be S"},
		"a key with too many parts":    {fakeaws.Item{"item": text("lease#2jxtsgokhmkcw7cc#1#000#5")}, 4, "its key has 5 parts; it must have 4"},
		"a key without an attempt":     {fakeaws.Item{"item": text("lease#2jxtsgokhmkcw7cc#x#000")}, 4, "its key"},
		"tasks that are no ranges":     {fakeaws.Item{"tasks": text("all")}, 4, `attribute tasks: task numbers "all"`},
		"no tasks":                     {fakeaws.Item{"tasks": nil}, 4, "attribute tasks is missing"},
		"a hand in another form":       {fakeaws.Item{"hands": hands("0.d.x.y.z", "1", "2", "3")}, 4, "is not a time, what started the task"},
		"a hand of no origin":          {fakeaws.Item{"hands": hands("0", "1", "2", "3")}, 4, "is not a time, what started the task"},
		"a hand spelled otherwise":     {fakeaws.Item{"hands": hands("+0.d", "1", "2", "3")}, 4, "is not a time, what started the task"},
		"a hand of an earlier attempt": {fakeaws.Item{"hands": hands("0.d...-1", "1", "2", "3")}, 4, "is at attempt -1; it must be more than the lease's, 1"},
		"no slots":                     {fakeaws.Item{"slots": nil}, 9, "attribute slots is missing"},
		"fewer slots than none":        {fakeaws.Item{"slots": number("-1")}, 3, "attribute slots is -1; it must be 0 or more"},
		"slots revoked":                {fakeaws.Item{"slots": number("0"), "due": nil}, 3, "attribute due is missing"},
		"retries in another form":      {fakeaws.Item{"retries": text("1")}, 4, "is not the number of a task, a time and an attempt"},
		"retries spelled otherwise":    {fakeaws.Item{"retries": text("1.0.2.5")}, 4, "spelled as Drover does not"},
		"a retry named twice":          {fakeaws.Item{"retries": text("1.0.2,1.5.3")}, 4, "names a task twice"},
		"a retry of the same attempt":  {fakeaws.Item{"retries": text("1.0.1")}, 4, "the next attempt at task 1 is 1; it must be more than the lease's, 1"},
		"waiting that are no ranges":   {fakeaws.Item{"waiting": text("4,x")}, 4, `attribute waiting: task numbers "4,x"`},
		"no hands":                     {fakeaws.Item{"hands": nil}, 10, "attribute hands is missing"},
		"hands of another type":        {fakeaws.Item{"hands": text("1.d")}, 10, "attribute hands is S; it must be M"},
		"a hand of no task":            {fakeaws.Item{"hands": hands("0.d", "1", "256")}, 10, `"256" is not the number of a task, 0 to 255`},
		"no hands of a whole segment":  {fakeaws.Item{"hands": nil, "tasks": text("0-255")}, queue.MostSlots, "attribute hands is missing"},
		"neither hands nor tasks":      {fakeaws.Item{"hands": nil, "tasks": nil}, 1, "is missing"},
		"forty hands and no slots":     {fakeaws.Item{"hands": hands("0.d", numbersTo(40)...), "slots": nil}, 40, "attribute slots is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s, it := inMemory(), intactLease()
			for attribute, v := range c.damage {
				if it[attribute] = v; v == nil {
					delete(it, attribute)
				}
			}
			require.NoError(t, s.db.Put(fakeaws.ControlTable, it))

			leases, err := s.control.Leases(t.Context(), "l")

			require.NoError(t, err)
			require.Len(t, leases, 1)
			require.NotNil(t, leases[0].Unreadable)
			require.Contains(t, leases[0].Unreadable.Reason, c.why)
			require.Equal(t, c.slots, leases[0].Granted())
			require.Equal(t, it["item"], text(leases[0].Item()))
			_, found, err := s.control.Lease(t.Context(), "l", leases[0].Item())
			require.NoError(t, err)
			require.False(t, found)
		})
	}
}

func TestAnIntactLeaseIsRead(t *testing.T) {
	s := inMemory()
	require.NoError(t, s.db.Put(fakeaws.ControlTable, intactLease()))

	leases, err := s.control.Leases(t.Context(), "l")

	require.NoError(t, err)
	require.Nil(t, leases[0].Unreadable)
	require.Equal(t, 4, leases[0].Granted())
	require.Equal(t, 3, leases[0].Running())
}

// TestADamagedLeaseIsSetAsideAsItWasReadOrNotAtAll has another writer change the lease between the read and the write.
func TestADamagedLeaseIsSetAsideAsItWasReadOrNotAtAll(t *testing.T) {
	for name, change := range map[string]func(it fakeaws.Item){
		"nothing changes": nil,
		"it is mended":    func(it fakeaws.Item) { it["due"] = number("1795348800000") },
		"it is heard of":  func(it fakeaws.Item) { it["hands"] = hands("0.d.5", "1", "2", "3") },
		"it is revoked":   func(it fakeaws.Item) { it["slots"], it["revision"] = number("1"), number("1048577") },
	} {
		t.Run(name, func(t *testing.T) {
			s, it := inMemory(), intactLease()
			delete(it, "due")
			require.NoError(t, s.db.Put(fakeaws.ControlTable, it))
			if change != nil {
				s.before("TransactWriteItems", func() {
					change(it)
					require.NoError(t, s.db.Put(fakeaws.ControlTable, it))
				})
			}

			err := s.control.SetAside(t.Context(), "l", "lease#2jxtsgokhmkcw7cc#1#000", noon)

			set, unread := s.control.Unreadable(t.Context(), "l", 10)
			require.NoError(t, unread)
			if change != nil {
				require.ErrorIs(t, err, queue.ErrChanged)
				require.Empty(t, set)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []queue.Unreadable{{Item: "unreadable#1795348800000#lease#2jxtsgokhmkcw7cc#1#000", Was: "lease#2jxtsgokhmkcw7cc#1#000",
				Reason: "attribute due is missing; it must be N", Since: noon}}, set)
			for _, kept := range s.db.Items(fakeaws.ControlTable) {
				require.Equal(t, it["hands"], kept["hands"], "all of it can be inspected")
			}
		})
	}
}

func TestAPaceThatCannotBeReadIsObservedAnew(t *testing.T) {
	for _, damaged := range []string{"x", `{"rate": "fast"}`, `{"left": 3} {}`, strings.Repeat("[", 100)} {
		s := inMemory()
		require.NoError(t, s.db.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("l"), "item": text("state"), "version": number("3"), "pace": text(damaged)}))

		state, err := s.control.State(t.Context(), "l")
		require.NoError(t, err)
		require.Equal(t, queue.State{Version: 3}, state)

		pace := queue.Pace{Left: 1, At: noon.Add(time.Second)}
		require.NoError(t, s.control.Grant(t.Context(), "l", queue.Grant{State: state, Pace: pace}, queue.Hold{}))
		state, err = s.control.State(t.Context(), "l")
		require.NoError(t, err)
		require.Equal(t, queue.State{Version: 4, Pace: pace}, state)
	}
}
