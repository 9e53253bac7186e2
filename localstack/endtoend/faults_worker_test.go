package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

// clerk processes a queue within the test, behaves like good and bad workers, and counts the tasks that it is working on.
type clerk struct {
	*ordeal
	url string
	// revived makes hopeless tasks succeed.
	revived atomic.Bool
	// cancelled says that the cancellation of the job that the test cancels is recorded. Until then none of its tasks ends: the job could end before.
	cancelled atomic.Bool
	work      sync.WaitGroup

	mu     sync.Mutex
	hand   map[string]map[string]int // unreported deliveries, by labourer and task
	most   map[string]int            // the most unreported tasks at the same time, by labourer
	told   map[string]bool
	starts map[string]int // the highest attempt, by task
	again  int            // deliveries of an attempt after the report of its end
	wrong  []error
}

// habit names how a worker treats a task; see clerk.attend.
type habit int

const (
	completes habit = iota
	failsOnce
	failsTwice
	hopeless
	vanishesOnce
	isLateOnce
	tellsTwice
	namesNoAttempt
	sendsHeartbeats
	changesItsMind
	habits
)

// habitOf chooses a habit by the seed. Half of all tasks simply complete, and in the large job nearly all.
func (o *ordeal) habitOf(job string, section int) habit {
	h := fnv.New32a()
	fmt.Fprint(h, o.seed, job, section)
	if job == doomed {
		return hopeless
	}
	others := 2 * habits
	if job == "large" {
		others *= 10
	}
	if n := habit(h.Sum32() % uint32(others)); n < habits {
		return n
	}
	return completes
}

// open starts to process the queue, until ctx ends.
func (o *ordeal) open(t *testing.T, ctx context.Context) {
	t.Helper()
	q, err := o.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("desk"), Attributes: map[string]string{"VisibilityTimeout": hidden}})
	require.NoError(t, err)
	c := &clerk{ordeal: o, url: aws.ToString(q.QueueUrl), hand: map[string]map[string]int{}, most: map[string]int{}, told: map[string]bool{}, starts: map[string]int{}}
	o.desk = c
	c.work.Go(func() {
		for ctx.Err() == nil {
			got, err := o.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &c.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 5})
			if err != nil {
				continue
			}
			for _, m := range got.Messages {
				_, err := o.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &c.url, ReceiptHandle: m.ReceiptHandle})
				c.note(err)
				c.work.Go(func() { c.attend(ctx, aws.ToString(m.Body)) })
			}
		}
	})
}

// handed holds the fields of a task that the clerk reads.
type handed struct {
	TaskID   string `json:"task_id"`
	Sections []int  `json:"sections"`
	Drover   struct {
		JobID    string    `json:"job_id"`
		Labourer string    `json:"labourer_id"`
		Attempt  int       `json:"attempt"`
		Deadline time.Time `json:"deadline"`
	} `json:"drover"`
}

// attend treats a task by its habit.
func (c *clerk) attend(ctx context.Context, body string) {
	var h handed
	if err := json.Unmarshal([]byte(body), &h); err != nil || len(h.Sections) != 1 {
		c.note(fmt.Errorf("a task that no worker can read: %w: %s", err, body))
		return
	}
	if time.Now().After(h.Drover.Deadline) {
		return // its deadline is past: Drover counts it as lost, so the clerk drops it
	}
	d := delivery{taskID: h.TaskID, attempt: h.Drover.Attempt}
	d.object = object{"labourer": h.Drover.Labourer}
	if !c.take(d) {
		c.tell(ctx, c.sameAgain(h, d)) // a second start of a completed task
		return
	}
	pause(ctx, 20*time.Millisecond)
	for h.Drover.JobID == "cancelled" && !c.cancelled.Load() {
		if ctx.Err() != nil || time.Now().After(h.Drover.Deadline) {
			c.put(d)
			return // the attempt is lost, and another follows
		}
		pause(ctx, glance)
	}
	done := d.completed()
	habit := c.habitOf(h.Drover.JobID, h.Sections[0])
	switch {
	case habit == failsOnce && d.attempt == 1, habit == failsTwice && d.attempt <= 2:
		done = d.failed(nil)
	case habit == hopeless && !c.revived.Load():
		done = d.failed(object{"retryable": false})
	case habit == vanishesOnce && d.attempt == 1:
		c.put(d)
		return
	case habit == isLateOnce && d.attempt == 1:
		pause(ctx, time.Until(h.Drover.Deadline))
		c.put(d)
		pause(ctx, 2*ordealCooldown)
	case habit == tellsTwice:
		c.put(d)
		c.tell(ctx, done)
		pause(ctx, 50*time.Millisecond)
	case habit == namesNoAttempt:
		delete(done, "attempt")
	case habit == sendsHeartbeats:
		c.tell(ctx, d.running())
		pause(ctx, 200*time.Millisecond)
	case habit == changesItsMind:
		c.put(d)
		c.tell(ctx, done)
		done = d.failed(nil)
	}
	c.put(d)
	c.tell(ctx, done)
}

// sameAgain returns the report of an attempt's second start: a hopeless task stays hopeless.
func (c *clerk) sameAgain(h handed, d delivery) object {
	if c.habitOf(h.Drover.JobID, h.Sections[0]) == hopeless && !c.revived.Load() {
		return d.failed(object{"retryable": false})
	}
	return d.completed()
}

func (d delivery) labourer() string { return d.object["labourer"].(string) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// take begins work on a task. It returns false if the end of this attempt has already been reported.
func (c *clerk) take(d delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starts[d.taskID] = max(c.starts[d.taskID], d.attempt)
	if c.told[fmt.Sprint(d.taskID, d.attempt)] {
		c.again++
		return false
	}
	hand := c.hand[d.labourer()]
	if hand == nil {
		hand = map[string]int{}
		c.hand[d.labourer()] = hand
	}
	hand[d.taskID]++
	c.most[d.labourer()] = max(c.most[d.labourer()], len(hand))
	return true
}

// put ends the work on a task, before the clerk reports its end.
func (c *clerk) put(d delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[fmt.Sprint(d.taskID, d.attempt)] = true
	hand := c.hand[d.labourer()]
	if hand[d.taskID]--; hand[d.taskID] <= 0 {
		delete(hand, d.taskID)
	}
}

func (c *clerk) tell(ctx context.Context, message object) {
	text, err := json.Marshal(message)
	c.note(err)
	_, err = c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(c.out["CompletionsQueueUrl"]), MessageBody: aws.String(string(text))})
	if ctx.Err() == nil {
		c.note(err)
	}
}

func (c *clerk) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, err)
}
