// An untouched sarama SyncProducer that writes for a while and counts: what was confirmed, what was refused, how long nothing was confirmed.
// BROKERS TOPIC SECONDS FILE; the confirmed values go to FILE, one a line; prints one JSON object.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Shopify/sarama"
)

func main() {
	seconds, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer(strings.Split(os.Args[1], ","), config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	file, err := os.Create(os.Args[4])
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(file)
	errors := map[string]int{}
	acked, sent, longest := 0, 0, time.Duration(0)
	started := time.Now()
	last := started
	for time.Since(started) < time.Duration(seconds)*time.Second {
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
		fmt.Fprintln(out, value)
	}
	if err := out.Flush(); err != nil {
		panic(err)
	}
	producer.Close()
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"sent": sent, "acked": acked, "errors": errors, "longest_gap_ms": longest.Milliseconds()})
}
