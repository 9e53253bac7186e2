// Package console serves a stack as pages for a browser on the same machine, and as JSON.
//
// It reads through inspect, as the command line does, and its documents are those that the command line prints. A page is rendered on the server;
// console.js keeps it fresh, asks before actions, and handles keys. Each resource has a file: its pages and its documents are in the same place.
//
//	guard.go     which requests are let in: Host, Origin, token, read-only
//	console.go   the routes, and how a page, a document or an error becomes a response
//	live.go      the one loop that reads the stack while a tab is visible, and its stream of events
//	herd.go      which labourers that loop reads in a turn, and what it keeps of them
//	chart.go     sparklines, lines, bars and timelines, as SVG
//	viewer.go    payloads and results as text that cannot be markup
//
// # What an open tab reads
//
// Only the loop reads without being asked, and only while a visible tab listens. All tabs share one loop. A turn makes at most [ReadsATurn] requests,
// and there is one every five seconds ([Turn]). A page other than the overview is rendered again at each turn, which takes at most [ReadsAPage] requests.
package console
