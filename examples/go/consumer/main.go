// Consumer reads test-topic from its beginning, all partitions at once, until it has seen -count messages (0: until Ctrl-C).
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/Shopify/sarama"
)

func main() {
	brokers := flag.String("brokers", "localhost:9092", "bootstrap servers, separated by commas")
	topic := flag.String("topic", "test-topic", "topic to read from")
	count := flag.Int("count", 0, "stop after so many messages; 0 reads on until Ctrl-C")
	flag.Parse()

	consumer, err := sarama.NewConsumer(strings.Split(*brokers, ","), sarama.NewConfig())
	if err != nil {
		log.Fatalf("cannot reach %s: %v", *brokers, err)
	}
	defer consumer.Close()

	partitions, err := consumer.Partitions(*topic)
	if err != nil {
		log.Fatalf("cannot list the partitions of %s: %v", *topic, err)
	}

	messages := make(chan *sarama.ConsumerMessage)
	for _, partition := range partitions {
		reader, err := consumer.ConsumePartition(*topic, partition, sarama.OffsetOldest)
		if err != nil {
			log.Fatalf("cannot read %s/%d: %v", *topic, partition, err)
		}
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
	}

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	for seen := 0; *count == 0 || seen < *count; seen++ {
		select {
		case message := <-messages:
			fmt.Printf("%s/%d offset %d: %s = %s\n", message.Topic, message.Partition, message.Offset, message.Key, message.Value)
		case <-interrupted:
			return
		}
	}
}
