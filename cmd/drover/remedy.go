package main

import (
	"strings"
)

// command returns an AWS CLI command to paste into a shell, with the endpoint that drover uses and the stack's region.
func (s *stack) command(words ...string) string {
	all := []string{"aws"}
	if s.endpoint != "" {
		all = append(all, "--endpoint-url", s.endpoint)
	}
	if s.region != "" {
		all = append(all, "--region", s.region)
	}
	all = append(all, words...)
	for i, word := range all {
		all[i] = quoted(word)
	}
	return strings.Join(all, " ")
}

// deploy returns the command that deploys the stack with some parameters of the template. The others keep their values.
func (s *stack) deploy(parameters ...string) string {
	words := []string{"deploy"}
	for _, p := range parameters {
		words = append(words, "--parameter", p)
	}
	return s.own(words...)
}

// own returns a command of drover to paste into a shell.
func (s *stack) own(words ...string) string {
	all := []string{"drover"}
	if s.Name != defaultStack {
		all = append(all, "--stack", s.Name)
	}
	all = append(all, words...)
	for i, word := range all {
		all[i] = quoted(word)
	}
	return strings.Join(all, " ")
}

// remedy returns what to do about something that could not be read. action is the right to read it. otherwise is the answer for errors that only
// their message explains.
func remedy(err error, action, otherwise string) string {
	switch kindOf(err) {
	case passing:
		return "AWS fails or is out of reach: try again in a minute"
	case session:
		return signIn(err, "")
	case denied:
		return "allow " + action + " for the credentials that drover uses"
	}
	return otherwise
}

// unread returns a failed check: something could not be read.
func unread(name string, err error, action, otherwise, what string) check {
	if otherwise == "" {
		otherwise = "fix what the message says; the right " + action + " is needed"
	}
	return wrong(name, remedy(err, action, otherwise), "%s%s", what, reason(err))
}
