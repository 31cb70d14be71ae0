// Counts the events of a monitor as an exporter in Go would: go-qemu reads them, and counters of
// client_golang count them. When all have been counted it prints when that was and how many they
// were, as JSON, and stays until its input ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	dialTimeout = 2 * time.Second
	vm          = "vm"
)

func text(data map[string]any, key string) string {
	found, _ := data[key].(string)
	return found
}

func say(message map[string]any) error {
	return json.NewEncoder(os.Stdout).Encode(message)
}

func run(path string, number int) error {
	events := prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "qemu_events_total", Help: "Events."},
		[]string{"vm", "event"})
	failures := prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "qemu_block_io_errors_total", Help: "I/O errors."},
		[]string{"vm", "device", "operation", "action", "reason"})
	prometheus.MustRegister(events, failures)
	monitor, err := qmp.NewSocketMonitor("unix", path, dialTimeout)
	if err != nil {
		return err
	}
	if err := monitor.Connect(); err != nil {
		return err
	}
	stream, err := monitor.Events(context.Background())
	if err != nil {
		return err
	}
	if err := say(map[string]any{"ready": true}); err != nil {
		return err
	}
	counted := 0
	for event := range stream {
		events.WithLabelValues(vm, event.Event).Inc()
		if event.Event == "BLOCK_IO_ERROR" {
			failures.WithLabelValues(vm, text(event.Data, "node-name"),
				text(event.Data, "operation"), text(event.Data, "action"),
				text(event.Data, "reason")).Inc()
		}
		counted++
		if counted == number {
			break
		}
	}
	end := float64(time.Now().UnixNano()) / 1e9
	if err := say(map[string]any{"end": end, "counted": counted}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func main() {
	number, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = run(os.Args[1], number)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}
