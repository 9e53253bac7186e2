package dynamo

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// A bundle is an item that holds the payloads of several tasks of a segment, compressed together. The payloads of one job are much alike, so
// together they take far fewer write units than one by one. A bundle never changes but for its date.
//
// Its content is a version, the date as written, and for each task its number, how many bytes its payload begins and ends with as the one before
// does, how many are in between, and these. Its key has the first and the last number, and a hash of the content. So bundles with other tasks,
// payloads or dates lie under other keys, and a creation that is repeated, with another cut of the same segment, overwrites none that a stored task
// refers to.
type bundle struct {
	first, last int   // the first and the last number of a task in it
	sum         int64 // of its content
	size        int   // bytes of its payloads
}

// bundleBytes limits the payloads in a bundle: what a function unpacks to start one task.
const bundleBytes = 256 << 10

// bundleHeaders limits the bytes of a bundle's content beside its payloads.
const bundleHeaders = 16 * (segment.Size + 1)

// bundleVersion begins the content of a bundle. It is no byte with which zstd begins.
const bundleVersion = 1

// What creating and reading payloads costs, in tenths of a write unit. A read unit costs a fifth of a write unit, and an eventually consistent read
// takes half a unit for each 4 KB. A payload is read at the start of its task and for the archive. One of the two reads counts: tasks that start or
// end together share a read of their bundle, and at a cap of 1 none do.
const (
	writeCost = 10 // for each KB
	readCost  = 1  // for each 4 KB
)

// itemWrites says how often a task's item is written: at its creation and at its end.
const itemWrites = 2

// String returns the bundle's name in the item of a task.
func (b bundle) String() string { return fmt.Sprintf("%d-%d#%d#%d", b.first, b.last, b.sum, b.size) }

// bundleOf reads a bundle's name in the item of a task.
func bundleOf(t task.Task) (b bundle, valid bool) {
	if n, err := fmt.Sscanf(t.Bundle, "%d-%d#%d#%d", &b.first, &b.last, &b.sum, &b.size); err != nil || n != 4 || b.String() != t.Bundle {
		return bundle{}, false
	}
	return b, b.sum >= 0 && 0 <= b.first && b.first <= t.ID.N && t.ID.N <= b.last && b.last < segment.Size && 0 < b.size && b.size <= bundleBytes
}

func (b bundle) place(s segment.ID) place {
	return place{string(s) + "#" + strconv.Itoa(b.first) + "-" + strconv.Itoa(b.last), b.sum}
}

// sum returns a hash of the content of a bundle in a segment. It has 52 bits, which are exact as a number everywhere.
func sum(s segment.ID, content []byte) int64 {
	hash := sha256.New()
	hash.Write([]byte(string(s) + "#"))
	hash.Write(content)
	return int64(binary.BigEndian.Uint64(hash.Sum(nil)) >> 12)
}

// cost returns what it costs to create, end and read a task whose item and whose payload, apart, have these sizes.
func cost(own item, apart ...item) int {
	units := itemWrites * writeUnits(own) * writeCost
	bytes := 0
	for _, it := range apart {
		units, bytes = units+writeUnits(it)*writeCost, bytes+size(it)
	}
	return units + readBlocks(bytes)*readCost
}

// readBlocks returns how many blocks of 4 KB a read of this many bytes is charged for.
func readBlocks(bytes int) int { return (bytes + 4<<10 - 1) >> 12 }

// bundled is a bundle that is planned.
type bundled struct {
	it   item
	owns []item // of its tasks
	// saves says how much it costs less than what lies alone, for each task.
	saves float64
}

// gathered returns the longest prefix of these tasks whose payloads fit into a bundle.
func gathered(some []born) []born {
	bytes := 0
	for i, one := range some {
		if bytes += len(one.task.Payload); bytes > bundleBytes {
			return some[:i]
		}
		if i > 0 && (one.task.ID.Segment != some[0].task.ID.Segment || one.task.ID.N <= some[i-1].task.ID.N) {
			return some[:i]
		}
	}
	return some
}

// bundling returns the items of tasks whose payloads lie in one bundle.
func bundling(some []born) bundled {
	until := some[0].until
	for _, one := range some {
		if one.until.After(until) {
			until = one.until
		}
	}
	at := some[0].task.ID.Segment
	b := bundle{first: some[0].task.ID.N, last: some[len(some)-1].task.ID.N}
	content := binary.AppendUvarint([]byte{bundleVersion}, uint64(max(0, until.Unix())))
	var before []byte
	for _, one := range some {
		payload := []byte(one.task.Payload)
		begin, end := alike(before, payload)
		for _, n := range []int{one.task.ID.N, begin, end, len(payload) - begin - end} {
			content = binary.AppendUvarint(content, uint64(n))
		}
		content = append(content, payload[begin:len(payload)-end]...)
		before, b.size = payload, b.size+len(payload)
	}
	b.sum = sum(at, content)
	out := bundled{it: b.place(at).key()}
	out.it["payload"], out.it["expires_at"] = &types.AttributeValueMemberB{Value: pack(content)}, num(until.Unix())
	saved := -writeUnits(out.it)*writeCost - len(some)*readBlocks(size(out.it))*readCost
	for _, one := range some {
		own := one.referring(1, until)
		own["bundle"] = str(b.String())
		out.owns = append(out.owns, own)
		last := len(one.alone) - 1
		saved += cost(one.alone[last], one.alone[:last]...) - cost(own)
	}
	out.saves = float64(saved) / float64(len(some))
	return out
}

// alike returns how many bytes two texts begin with in common, and how many of the others they end with. zstd finds such a text again only near it,
// or by luck.
func alike(a, b []byte) (begin, end int) {
	most := min(len(a), len(b))
	for begin < most && a[begin] == b[begin] {
		begin++
	}
	for end < most-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return begin, end
}

// best returns the bundle of the first of these tasks that saves most for each of its tasks; nil: none saves anything. It tries twice as many tasks
// as long as that saves more. If as many as in the bundle before save about as much again, it tries no others: the tasks of a job are much alike.
func best(some []born, before *bundled) *bundled {
	some = gathered(some)
	if before != nil && len(before.owns) <= len(some) {
		if b := bundling(some[:len(before.owns)]); b.saves > 0.9*before.saves {
			return &b
		}
	}
	var found *bundled
	for n := 2; n <= len(some); n = min(2*n, len(some)) {
		b := bundling(some[:n])
		if b.saves <= 0 || found != nil && b.saves <= found.saves {
			break
		}
		if found = &b; n == len(some) {
			break
		}
	}
	return found
}

var errDamaged = errors.New("damaged")

// open returns the payloads in the stored form of a bundle, by the numbers of their tasks.
func (b bundle) open(s segment.ID, stored []byte) (map[int][]byte, error) {
	content, err := unpackWithin(stored, b.size+bundleHeaders)
	if err != nil {
		return nil, err
	}
	if len(content) == 0 || content[0] != bundleVersion || sum(s, content) != b.sum {
		return nil, errDamaged
	}
	_, n := binary.Uvarint(content[1:]) // its date
	rest := content[1+max(0, n):]
	payloads, room := map[int][]byte{}, b.size
	var before []byte
	for last := -1; len(rest) > 0; {
		var header [4]int
		for i := range header {
			value, n := binary.Uvarint(rest)
			if n <= 0 || value > bundleBytes {
				return nil, errDamaged
			}
			header[i], rest = int(value), rest[n:]
		}
		number, begin, end, middle := header[0], header[1], header[2], header[3]
		if room -= begin + end + middle; room < 0 || number <= last || begin+end > len(before) || middle > len(rest) {
			return nil, errDamaged
		}
		before = slices.Concat(before[:begin], rest[:middle], before[len(before)-end:])
		payloads[number], rest, last = before, rest[middle:], number
	}
	if room != 0 {
		return nil, errDamaged
	}
	return payloads, nil
}
