package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAShellCompletesIds(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.Submit(`{"job_id": "shopping", "labourer": "shop"}`)
	g.Submit(`{"job_id": "nightly", "labourer": "shop"}`)
	g.RunFor(time.Second)
	complete := func(words ...string) []string {
		lines := strings.Split(strings.TrimSpace(g.drover(append([]string{"__complete"}, words...)...).ok()), "\n")
		return lines[:len(lines)-1] // the last one is for the shell
	}
	require.ElementsMatch(t, []string{"shop", "shopping", "nightly"}, complete("why", ""))
	require.ElementsMatch(t, []string{"shop", "shopping"}, complete("why", "sho"))
	require.Equal(t, []string{"shop"}, complete("pause", "s"))
	require.Empty(t, complete("pause", "shop", ""))
	g.away, g.awayUntil = errors.New("out of reach"), g.World.Now().Add(time.Hour)
	require.Empty(t, complete("why", ""))
}
