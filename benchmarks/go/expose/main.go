// Serves the series of an exposition as an exporter in Go would: they are read from a file into
// vectors of client_golang, and promhttp serves them at /metrics. A GET of /change?vms=N adds 1 to
// one counter of N VMs. It prints its URL as JSON, and ends when its input does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	changing = "qemu_events_total"
	event    = "POWERDOWN"
)

func labels(pairs []*dto.LabelPair) prometheus.Labels {
	found := prometheus.Labels{}
	for _, pair := range pairs {
		found[pair.GetName()] = pair.GetValue()
	}
	return found
}

func buckets(of *dto.Histogram) []float64 {
	bounds := make([]float64, 0, len(of.GetBucket()))
	for _, bucket := range of.GetBucket() {
		bounds = append(bounds, bucket.GetUpperBound())
	}
	return bounds
}

// observe puts as many observations into each bucket as the file has; their sum differs.
func observe(into prometheus.Observer, from *dto.Histogram) {
	seen := uint64(0)
	for _, bucket := range from.GetBucket() {
		for ; seen < bucket.GetCumulativeCount(); seen++ {
			into.Observe(bucket.GetUpperBound())
		}
	}
}

func register(registry *prometheus.Registry, family *dto.MetricFamily) (*prometheus.CounterVec, error) {
	name, help := family.GetName(), family.GetHelp()
	names := slices.Sorted(maps.Keys(labels(family.GetMetric()[0].GetLabel())))
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, names)
		for _, metric := range family.GetMetric() {
			vec.With(labels(metric.GetLabel())).Add(metric.GetCounter().GetValue())
		}
		return vec, registry.Register(vec)
	case dto.MetricType_GAUGE:
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, names)
		for _, metric := range family.GetMetric() {
			vec.With(labels(metric.GetLabel())).Set(metric.GetGauge().GetValue())
		}
		return nil, registry.Register(vec)
	case dto.MetricType_HISTOGRAM:
		first := family.GetMetric()[0].GetHistogram()
		vec := prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets(first)}, names)
		for _, metric := range family.GetMetric() {
			observe(vec.With(labels(metric.GetLabel())), metric.GetHistogram())
		}
		return nil, registry.Register(vec)
	default:
		return nil, fmt.Errorf("%s: found type %s, expected counter, gauge or histogram",
			name, family.GetType())
	}
}

func load(path string, registry *prometheus.Registry) (*prometheus.CounterVec, []string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(file)
	if err != nil {
		return nil, nil, err
	}
	var counters *prometheus.CounterVec
	vms := map[string]bool{}
	for name, family := range families {
		vec, err := register(registry, family)
		if err != nil {
			return nil, nil, err
		}
		if name == changing {
			counters = vec
			for _, metric := range family.GetMetric() {
				vms[labels(metric.GetLabel())["vm"]] = true
			}
		}
	}
	return counters, slices.Sorted(maps.Keys(vms)), nil
}

func run(path string) error {
	registry := prometheus.NewRegistry()
	counters, vms, err := load(path, registry)
	if err != nil {
		return err
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	http.HandleFunc("/change", func(answer http.ResponseWriter, request *http.Request) {
		number, err := strconv.Atoi(request.URL.Query().Get("vms"))
		if err != nil || number > len(vms) {
			http.Error(answer, "no such number of VMs", http.StatusBadRequest)
			return
		}
		for _, vm := range vms[:number] {
			counters.WithLabelValues(event, vm).Inc()
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := map[string]any{"port": listener.Addr().(*net.TCPAddr).Port}
	if err := json.NewEncoder(os.Stdout).Encode(url); err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- http.Serve(listener, nil) }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	return <-failed
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "expose:", err)
		os.Exit(1)
	}
}
