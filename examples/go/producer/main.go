// Producer sends ten messages to test-topic and prints where each one landed.
//
// SendMessage returns only after the broker has answered: its error (or the lack of one) is what confirms a message.
// There is nothing to call on the message afterwards.
package main

import (
	"flag"
	"fmt"
	"log"
	"strings"

	"github.com/Shopify/sarama"
)

func main() {
	brokers := flag.String("brokers", "localhost:9092", "bootstrap servers, separated by commas")
	topic := flag.String("topic", "test-topic", "topic to write to")
	count := flag.Int("count", 10, "number of messages")
	flag.Parse()

	config := sarama.NewConfig()
	config.Producer.Return.Successes = true // A SyncProducer needs it.
	// The default is acks=1: the leader alone has the message when SendMessage returns.
	// For acks=all, which no crash and no power failure takes back, add this line:
	// config.Producer.RequiredAcks = sarama.WaitForAll

	producer, err := sarama.NewSyncProducer(strings.Split(*brokers, ","), config)
	if err != nil {
		log.Fatalf("cannot reach %s: %v", *brokers, err)
	}
	defer producer.Close()

	for i := 0; i < *count; i++ {
		message := &sarama.ProducerMessage{
			Topic: *topic,
			Key:   sarama.StringEncoder(fmt.Sprintf("key-%d", i)),
			Value: sarama.StringEncoder(fmt.Sprintf("message %d", i)),
		}
		partition, offset, err := producer.SendMessage(message)
		if err != nil {
			log.Fatalf("message %d was not confirmed: %v", i, err)
		}
		fmt.Printf("message %d -> %s/%d at offset %d\n", i, *topic, partition, offset)
	}
}
