// Sarama's driver, for 1.22.1 (GOPATH) and 1.38.1 (module) alike: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE |
// member TOPIC GROUP STRATEGY INSTANCE.
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

const partitions = 3

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func main() {
	brokers, command, topic := strings.Split(os.Args[2], ","), os.Args[3], os.Args[4]
	config := sarama.NewConfig()
	if version := os.Getenv("SARAMA_VERSION"); version != "" {
		parsed, err := sarama.ParseKafkaVersion(version)
		if err != nil {
			fail("SARAMA_VERSION: %v", err)
		}
		config.Version = parsed
	}
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.MaxMessageBytes = 1_048_500
	config.Consumer.Fetch.Default = 2_000_000
	switch command {
	case "create":
		create(brokers, topic, config)
	case "produce":
		produce(brokers, topic, config, os.Args[5], os.Args[6], os.Args[7])
	case "member":
		member(brokers, topic, config, os.Args[5], os.Args[6], os.Args[7])
	default:
		count, _ := strconv.Atoi(os.Args[5])
		consume(brokers, topic, config, count, os.Args[6])
	}
}

func create(brokers []string, topic string, config *sarama.Config) {
	if !config.Version.IsAtLeast(sarama.V0_11_0_0) {
		config.Version = sarama.V0_11_0_0 // The admin client asks for the controller, which an older version cannot.
	}
	admin, err := sarama.NewClusterAdmin(brokers, config)
	if err != nil {
		fail("admin: %v", err)
	}
	defer admin.Close()
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 3}, false); err != nil {
		fail("create: %v", err)
	}
}

func produce(brokers []string, topic string, config *sarama.Config, acks, codec, path string) {
	config.Producer.RequiredAcks = map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll}[acks]
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}[codec]
	if codec == "zstd" {
		config.Version = sarama.V2_1_0_0 // Sarama refuses zstd below it.
	} else if codec == "lz4" && !config.Version.IsAtLeast(sarama.V0_10_0_0) {
		config.Version = sarama.V0_10_0_0 // And lz4 below this.
	}
	producer, err := sarama.NewSyncProducer(brokers, config)
	if err != nil {
		fail("producer: %v", err)
	}
	file, err := os.Open(path)
	if err != nil {
		fail("%v", err)
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4_000_000)
	for lines.Scan() {
		var raw struct {
			Partition int32       `json:"partition"`
			Key       *[]byte     `json:"key"`
			Value     *[]byte     `json:"value"`
			Headers   [][2]string `json:"headers"`
			Timestamp *int64      `json:"timestamp"`
		}
		if err := json.Unmarshal(lines.Bytes(), &raw); err != nil {
			fail("%v", err)
		}
		message := &sarama.ProducerMessage{Topic: topic, Partition: raw.Partition}
		if raw.Key != nil {
			message.Key = sarama.ByteEncoder(*raw.Key)
		}
		if raw.Value != nil {
			message.Value = sarama.ByteEncoder(*raw.Value)
		}
		if raw.Timestamp != nil {
			message.Timestamp = time.Unix(*raw.Timestamp/1000, *raw.Timestamp%1000*int64(time.Millisecond))
		}
		for _, header := range raw.Headers {
			var value []byte
			if err := json.Unmarshal([]byte(strconv.Quote(header[1])), &value); err != nil {
				fail("%v", err)
			}
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header[0]), Value: value})
		}
		if _, _, err := producer.SendMessage(message); err != nil {
			fail("send: %v", err)
		}
	}
	if err := producer.Close(); err != nil {
		fail("close: %v", err)
	}
}

func consume(brokers []string, topic string, config *sarama.Config, count int, path string) {
	consumer, err := sarama.NewConsumer(brokers, config)
	if err != nil {
		fail("consumer: %v", err)
	}
	messages := make(chan *sarama.ConsumerMessage)
	for partition := int32(0); partition < partitions; partition++ {
		reader, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
		if err != nil {
			fail("partition %d: %v", partition, err)
		}
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
	}
	out, err := os.Create(path)
	if err != nil {
		fail("%v", err)
	}
	encoder := json.NewEncoder(out)
	deadline := time.After(30 * time.Second)
	for seen := 0; seen < count; seen++ {
		select {
		case message := <-messages:
			headers := [][2]interface{}{}
			for _, header := range message.Headers {
				headers = append(headers, [2]interface{}{string(header.Key), header.Value})
			}
			timestamp := message.Timestamp.UnixNano() / int64(time.Millisecond)
			if message.Timestamp.IsZero() {
				timestamp = -1
			}
			if err := encoder.Encode(map[string]interface{}{"partition": message.Partition, "key": message.Key, "value": message.Value,
				"headers": headers, "timestamp": timestamp}); err != nil {
				fail("%v", err)
			}
		case <-deadline:
			return
		}
	}
}
