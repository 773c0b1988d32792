// An untouched sarama SyncProducer that writes until its standard input ends and counts: what was confirmed, what was refused, how long nothing was confirmed.
// BROKERS TOPIC FILE; each confirmed value goes to FILE at once, one a line; prints one JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Shopify/sarama"
)

func main() {
	stopped := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stopped)
	}()
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer(strings.Split(os.Args[1], ","), config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	file, err := os.Create(os.Args[3])
	if err != nil {
		panic(err)
	}
	errors := map[string]int{}
	acked, sent, longest := 0, 0, time.Duration(0)
	last := time.Now()
	for running := true; running; {
		select {
		case <-stopped:
			running = false
		default:
		}
		value := strconv.Itoa(sent)
		sent++
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: os.Args[2], Value: sarama.StringEncoder(value)})
		if err != nil {
			errors[err.Error()]++
			continue
		}
		now := time.Now()
		if gap := now.Sub(last); gap > longest {
			longest = gap
		}
		last = now
		acked++
		fmt.Fprintln(file, value)
	}
	if err := file.Close(); err != nil {
		panic(err)
	}
	producer.Close()
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"sent": sent, "acked": acked, "errors": errors, "longest_gap_ms": longest.Milliseconds()})
}
