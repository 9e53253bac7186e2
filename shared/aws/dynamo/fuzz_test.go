package dynamo

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// images are items in the form of the stream, some of them malformed.
var images = []string{
	`{"segment": {"S": "2jxtsgokhmkcw7cc"}, "n": {"N": "7"}, "labourer": {"S": "w"}, "job": {"S": "j"}, "created_at": {"N": "1764000000000"}, "payload": {"B": "eyJhIjogMX0="},
"status": {"S": "completed"}, "attempt": {"N": "1"}, "closed_at": {"N": "1764000001000"}, "attempts": {"B": "W10="}, "result": {"B": "KLUv/QQAKQAAeyJhIjoxfQ=="}}`,
	`{"labourer": {"S": "w"}, "item": {"S": "queue#1764000000000#2jxtsgokhmkcw7cc#000"}, "tasks": {"S": "0-255"}, "attempt": {"N": "1"}, "max_duration": {"N": "60000"}}`,
	`{"labourer": {"S": "w"}, "item": {"S": "lease#2jxtsgokhmkcw7cc#1#000"}, "tasks": {"S": "0-9"}, "waiting": {"S": "7-9"}, "slots": {"N": "3"}, "revision": {"N": "1048577"},
"claimed_at": {"N": "1764000000000"}, "feed_until": {"N": "1764000090000"}, "due": {"N": "1764000000000"}, "job": {"S": "j"},
"hands": {"M": {"4": {"S": "0.u"}, "5": {"S": "rs.q83vEjRW.1jk"}, "6": {"S": "-1.d..w"}}}}`,
	`{"labourer": {"S": "w"}, "item": {"S": "state"}, "version": {"N": "3"}, "paused": {"BOOL": true}, "claiming_until": {"N": "1764000000000"}, "trouble": {"S": "{\"error\": \"no\"}"},
"pace": {"S": "{\"left\": 3, \"rate\": 1.5}"}}`,
	`{"job_id": {"S": "j"}, "item": {"S": "job"}, "state": {"S": "scheduling"}, "fingerprint": {"S": "0123456789abcdef"}, "total": {"N": "1000"}, "cursor": {"N": "1"},
"text": {"B": "e30="}, "submitted_at": {"N": "1764000000000"}, "generation": {"N": "1"}, "chunkable_attrs": {"S": "section,store"}}`,
	`{"job_id": {"S": "j"}, "item": {"S": "segment#2jxtsgokhmkcw7cc"}, "completed": {"NS": ["0", "1", "256"]}, "dead": {"NS": ["3"]}, "rolled": {"M": {"completed": {"N": "3"}}}}`,
	`{"segment": {"N": "1"}, "n": {"S": "x"}, "payload": {"BOOL": true}}`, `{"hands": {"M": {"-1": {"S": "x"}, "256": {"N": "1"}}}, "tasks": {"S": "0-999,3"}, "item": {"S": "lease####"}}`,
	`{"segment": {"S": "2jxtsgokhmkcw7cc"}, "n": {"N": "7"}, "labourer": {"S": "w"}, "job": {"S": "j"}, "parts": {"N": "1"}, "bundle": {"S": "0-9#5#700"}}`,
	`{"payload": {"B": "KLUv/aQA////f0EAAA=="}}`, `{"hands": {"S": "x"}, "slots": {"N": "-3"}, "waiting": {"S": "0-255"}}`, `{}`, `{"n": {"NULL": true}}`,
}

// FuzzStreamImage: every image in the stream is read or refused, and every task that is read can be stored.
func FuzzStreamImage(f *testing.F) {
	for _, text := range images {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var image map[string]events.DynamoDBAttributeValue
		if json.Unmarshal(text, &image) != nil {
			return
		}
		read, err := StreamImage(image)
		if err != nil {
			return
		}
		require.True(t, read.ID.Segment.Valid())
		require.LessOrEqual(t, len(read.Payload), unpackLimit)
		_, _ = taskItem(read, 1)
	})
}

// FuzzItems: reading any item of a table ends with a value or an error.
func FuzzItems(f *testing.F) {
	for _, text := range images {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		it, ok := itemOf(text)
		if !ok {
			return
		}
		_, _ = readTask(it)
		_, _ = readState(it)
		if e, err := readEntry(it); err == nil {
			_ = e.Item()
		}
		if l, err := readLease(it); err == nil {
			_ = leaseItem(l)
			_ = Control{}.replacing(l, l.Ended(l.InHand()))
		}
		if l := leaseOf(it); l.Unreadable != nil {
			require.Positive(t, l.Granted())
			require.LessOrEqual(t, l.Granted(), queue.MostSlots)
		}
		if j, err := readJob(it); err == nil {
			_ = jobItem(j, nil, 1)
		}
		_ = readProgress(it).Counts()
	})
}

// FuzzHands: the conditions of writes name hands by their stored text, so every text that is read is written the same.
func FuzzHands(f *testing.F) {
	for _, text := range []string{"0.u", "-zz.d", "1fflow0.q83vEjRW.1fflow1.t", "5.d..w", "5.d..", "+5.d", "A.d", ".d", "5", "5.", "9999999999999.u", "1.d.x.w.z"} {
		f.Add(text)
	}
	claimed := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := readHand(text, claimed); err == nil {
			require.Equal(t, text, handText(h, claimed))
			require.NotEmpty(t, h.By)
		}
	})
}

// FuzzRetries: every text that is read is written the same.
func FuzzRetries(f *testing.F) {
	for _, text := range []string{"0.u.2", "40.-rs.2,255.j1hs.1000", "2.0.2,1.0.2", "1.0.2,1.0.3", "1.0.2.", "1.0.+2", "1.0", ",", "256.0.2", "1.9999999999999.2"} {
		f.Add(text)
	}
	claimed := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if retries, err := readRetries(text, claimed); err == nil {
			require.Equal(t, text, retriesText(retries, claimed))
		}
	})
}

// itemOf reads an item in its wire format.
func itemOf(text []byte) (item, bool) {
	var fields map[string]map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return nil, false
	}
	it := item{}
	for name, field := range fields {
		for kind, value := range field {
			v, ok := valueOf(kind, value)
			if !ok {
				return nil, false
			}
			it[name] = v
		}
	}
	return it, true
}

func valueOf(kind string, text json.RawMessage) (types.AttributeValue, bool) {
	var one string
	var many []string
	switch {
	case strings.HasSuffix(kind, "S") && len(kind) == 2:
		if json.Unmarshal(text, &many) != nil {
			return nil, false
		}
	case kind == "S", kind == "N":
		if json.Unmarshal(text, &one) != nil {
			return nil, false
		}
	}
	switch kind {
	case "S":
		return str(one), true
	case "N":
		return &types.AttributeValueMemberN{Value: one}, true
	case "SS":
		return &types.AttributeValueMemberSS{Value: many}, true
	case "NS":
		return &types.AttributeValueMemberNS{Value: many}, true
	case "B":
		var bytes []byte
		err := json.Unmarshal(text, &bytes)
		return &types.AttributeValueMemberB{Value: bytes}, err == nil
	case "BOOL":
		var is bool
		err := json.Unmarshal(text, &is)
		return &types.AttributeValueMemberBOOL{Value: is}, err == nil
	case "M":
		inner, ok := itemOf(text)
		return &types.AttributeValueMemberM{Value: inner}, ok
	}
	return &types.AttributeValueMemberNULL{Value: true}, true
}

// FuzzBundle: any bytes under any name are the payloads of a bundle or damaged. They have no more bytes than the name says.
func FuzzBundle(f *testing.F) {
	f.Add("0-2#5#12", []byte{bundleVersion, 5, 0, 0, 0, 2, '{', '}', 2, 1, 1, 8, '"', 'a', '"', ':', '1', '2', '3', '4'}, true)
	f.Add("0-255#0#262144", []byte{bundleVersion}, false)
	f.Add("0-2#5#300000", []byte{bundleVersion, 5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, true)
	f.Add("x", []byte{0x28, 0xb5, 0x2f, 0xfd, 4, 0, 0x41, 0, 0}, true)
	f.Fuzz(func(t *testing.T, name string, content []byte, summed bool) {
		b, valid := bundleOf(task.Task{ID: task.ID{Segment: "2jxtsgokhmkcw7cc"}, Bundle: name})
		if !valid {
			return
		}
		require.Equal(t, name, b.String())
		if summed {
			b.sum = sum("2jxtsgokhmkcw7cc", content)
		}
		payloads, err := b.open("2jxtsgokhmkcw7cc", content)
		if err != nil {
			require.Empty(t, payloads)
			return
		}
		bytes := 0
		for _, payload := range payloads {
			bytes += len(payload)
		}
		require.Equal(t, b.size, bytes)
	})
}
