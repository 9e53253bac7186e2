package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// patience is for how long a command that follows something bears that AWS does not answer.
	patience = 5 * time.Minute
	// outageLook is how long it waits before it looks again.
	outageLook = 2 * time.Second
	// longestTry is how much of the patience one try uses up at most: a machine that slept for hours has not tried for hours.
	longestTry = time.Minute
)

// unknownError is an error that leaves open what became of something: it ends with the code for that.
type unknownError struct{ error }

func (e unknownError) Unwrap() error { return e.error }

// following is the patience of a command that follows something.
type following struct {
	s       *shell
	what    string        // goes on whether or not it is followed: "job x goes on, see drover job x"
	say     func(string)  // tells people; above a progress bar where there is one
	failing bool          // the last look failed
	borne   time.Duration // for how long
	last    time.Time     // the last look
}

func (s *shell) following(what string) *following {
	return &following{s: s, what: what, say: func(text string) { s.say("%s", text) }, last: s.now()}
}

// answered notes a look that went well.
func (f *following) answered() {
	if f.failing {
		f.say("AWS answers again")
	}
	f.failing, f.borne, f.last = false, 0, f.s.now()
}

// bear waits before the next look where the last one failed for a reason that passes. It returns an unknownError when it does not pass, or
// has lasted for too long, or the command was interrupted.
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
	if f.s.wait(ctx, outageLook) != nil {
		return unknownError{fmt.Errorf("interrupted; %s", f.what)}
	}
	return nil
}

func (f *following) tell(k kind, err error) {
	if k == session {
		f.say(signIn(err, f.s.environment("AWS_PROFILE")) + "; trying again meanwhile")
		return
	}
	f.say(reason(err) + "; trying again, " + f.what)
}
