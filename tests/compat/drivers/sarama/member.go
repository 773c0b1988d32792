package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/Shopify/sarama"
)

// teller writes the events of member_events.py; claims run in goroutines of their own.
type teller struct {
	lock sync.Mutex
}

func (teller *teller) say(event map[string]interface{}) {
	line, _ := json.Marshal(event)
	teller.lock.Lock()
	defer teller.lock.Unlock()
	fmt.Println(string(line))
}

func owned(session sarama.ConsumerGroupSession, topic string) []int32 {
	return append([]int32{}, session.Claims()[topic]...)
}

// handler marks each record as it is told; sarama commits what is marked when a session ends, and every CommitInterval.
type handler struct {
	teller
	topic string
}

func (handler *handler) Setup(session sarama.ConsumerGroupSession) error {
	handler.say(map[string]interface{}{"generation": session.GenerationID()})
	handler.say(map[string]interface{}{"assigned": owned(session, handler.topic)})
	return nil
}

func (handler *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	handler.say(map[string]interface{}{"revoked": owned(session, handler.topic)})
	return nil
}

func (handler *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		handler.say(map[string]interface{}{"record": []interface{}{message.Partition, message.Offset, string(message.Value)}})
		session.MarkMessage(message, "")
	}
	return nil
}

func member(brokers []string, topic string, config *sarama.Config, group, strategy, instance string) {
	if !config.Version.IsAtLeast(sarama.V0_10_2_0) {
		config.Version = sarama.V0_10_2_0 // Sarama's groups want it.
	}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Session.Timeout = 30 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.Rebalance.Strategy = sarama.BalanceStrategyRange
	if strategy == "roundrobin" {
		config.Consumer.Group.Rebalance.Strategy = sarama.BalanceStrategyRoundRobin
	}
	if kept, err := time.ParseDuration(os.Getenv("SARAMA_OFFSETS_RETENTION")); err == nil {
		config.Consumer.Offsets.Retention = kept // With it sarama commits as OffsetCommit 2, else as 1.
	}
	if instance != "-" { // A field and a version that 1.22.1 does not have.
		config.Version, _ = sarama.ParseKafkaVersion("2.3.0")
		reflect.ValueOf(&config.Consumer.Group).Elem().FieldByName("InstanceId").SetString(instance)
	}
	config.Consumer.Return.Errors = true
	client, err := sarama.NewConsumerGroup(brokers, group, config)
	if err != nil {
		fail("group: %v", err)
	}
	asked, leave := context.WithCancel(context.Background())
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() && lines.Text() != "leave" {
		}
		leave()
	}()
	go func() {
		for problem := range client.Errors() {
			fmt.Fprintln(os.Stderr, problem)
		}
	}()
	handler := &handler{topic: topic}
	for failures := 0; asked.Err() == nil; {
		if err := client.Consume(asked, []string{topic}, handler); err != nil && asked.Err() == nil {
			if failures++; failures > 20 {
				fail("consume: %v", err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	if err := client.Close(); err != nil {
		fail("close: %v", err)
	}
	handler.say(map[string]interface{}{"left": true})
}
