package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// patience limits how long a command that follows something waits for AWS to answer.
	patience = 5 * time.Minute
	// outagePause separates two tries.
	outagePause = 2 * time.Second
	// longestTry limits how much of the patience one try uses up: a computer that was asleep for hours did not try for hours.
	longestTry = time.Minute
)

// unknownError is an error that leaves an outcome unknown. The program ends with the exit code for that.
type unknownError struct{ error }

func (e unknownError) Unwrap() error { return e.error }

// following decides how long a command that follows something waits out an outage of AWS.
type following struct {
	s       *shell
	what    string        // says that the work continues without the command: "job x continues; to see its state: drover job x"
	say     func(string)  // prints a message, above a progress bar where there is one
	failing bool          // the last try failed
	borne   time.Duration // how long tries have failed
	last    time.Time     // the last try
}

func (s *shell) following(what string) *following {
	return &following{s: s, what: what, say: func(text string) { s.say("%s", text) }, last: s.now()}
}

// answered notes a try that succeeded.
func (f *following) answered() {
	if f.failing {
		f.say("AWS answers again")
	}
	f.failing, f.borne, f.last = false, 0, f.s.now()
}

// bear waits before the next try if the last one failed for a temporary reason. It returns an unknownError if the reason is not temporary or has
// lasted too long, or if the command is interrupted.
func (f *following) bear(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return unknownError{fmt.Errorf("interrupted; %s", f.what)}
	}
	k := kindOf(err)
	if passes := k == passing || signedOut(err); !passes {
		return unknownError{fmt.Errorf("%w; %s", err, f.what)}
	}
	now := f.s.now()
	if f.failing {
		f.borne += min(now.Sub(f.last), longestTry)
	} else {
		f.tell(k, err)
	}
	f.failing, f.last = true, now
	if f.borne >= patience {
		return unknownError{fmt.Errorf("gave up after %s: %w; %s", patience, err, f.what)}
	}
	if f.s.wait(ctx, outagePause) != nil {
		return unknownError{fmt.Errorf("interrupted; %s", f.what)}
	}
	return nil
}

func (f *following) tell(k kind, err error) {
	if k == session {
		f.say(signIn(err, f.s.environment("AWS_PROFILE")) + "; trying again until then")
		return
	}
	f.say(reason(err) + "; trying again; " + f.what)
}
