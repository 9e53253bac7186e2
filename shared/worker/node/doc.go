// Package node has the SDK of Node workers, drover-worker. Its tests run with those of the project where Node is at hand.
package node
