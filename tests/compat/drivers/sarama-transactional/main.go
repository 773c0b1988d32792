// Sarama 1.38.1 in transactions; the commands are those of transaction_plan.py. Sarama sends offsets without who the member is, so its copier reads all
// partitions by itself, from where the group stands.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Shopify/sarama"
)

const (
	partitions = 3
	each       = 30
	seconds    = 60 * time.Second
)

var transactions = []struct {
	name   string
	commit bool
}{{"first", true}, {"dropped", false}, {"second", true}, {"forgotten", false}, {"third", true}}

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func configuration() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	return config
}

func producer(brokers []string, identifier string) sarama.SyncProducer {
	config := configuration()
	config.Producer.Transaction.ID = identifier
	config.Producer.Transaction.Timeout = 20 * time.Second
	for deadline := time.Now().Add(seconds); ; time.Sleep(50 * time.Millisecond) {
		made, err := sarama.NewSyncProducer(brokers, config)
		// The transaction of a former producer is being ended, for which sarama does not wait.
		if !errors.Is(err, sarama.ErrConcurrentTransactions) || time.Now().After(deadline) {
			must("producer", err)
			return made
		}
	}
}

func write(made sarama.SyncProducer, topic, name string) {
	must("begin", made.BeginTxn())
	var messages []*sarama.ProducerMessage
	for number := 0; number < each; number++ {
		value := sarama.StringEncoder(fmt.Sprintf("%s %d", name, number))
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Partition: int32(number % partitions), Value: value})
	}
	must("send", made.SendMessages(messages))
}

func main() {
	brokers, command, topic, words := strings.Split(os.Args[2], ","), os.Args[3], os.Args[4], os.Args[5:]
	switch command {
	case "write":
		made := producer(brokers, words[0])
		for _, transaction := range transactions {
			write(made, topic, transaction.name)
			if transaction.commit {
				must("commit", made.CommitTxn())
			} else {
				must("abort", made.AbortTxn())
			}
		}
		must("close", made.Close())
	case "read":
		count, _ := strconv.Atoi(words[0])
		read(brokers, topic, count, words[1])
	case "fence":
		fence(brokers, topic, words[0])
	default:
		aborts, _ := strconv.ParseFloat(words[3], 64)
		copyAll(brokers, topic, words[0], words[1], words[2], aborts)
	}
}

func fence(brokers []string, topic, identifier string) {
	first := producer(brokers, identifier)
	write(first, topic, "fenced")
	second := producer(brokers, identifier)
	write(second, topic, "fencing")
	must("commit of the second", second.CommitTxn())
	err := first.CommitTxn()
	// Sarama asks for the end as EndTxn 2 or older, and wraps what it is told.
	fenced := []sarama.KError{sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch}
	for _, kind := range fenced {
		if err != nil && (errors.Is(err, kind) || strings.Contains(err.Error(), kind.Error())) {
			return
		}
	}
	if err != nil && first.TxnStatus()&sarama.ProducerTxnFlagFatalError != 0 {
		return
	}
	fail("the first producer was not fenced: %v", err)
}

// open reads partitions of a topic from offsets; the messages of all come through one channel.
func open(client sarama.Client, topic string, offsets map[int32]int64) (sarama.Consumer, chan *sarama.ConsumerMessage) {
	consumer, err := sarama.NewConsumerFromClient(client)
	must("consumer", err)
	messages := make(chan *sarama.ConsumerMessage)
	for partition, offset := range offsets {
		reader, err := consumer.ConsumePartition(topic, partition, offset)
		must("partition", err)
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
	}
	return consumer, messages
}

func read(brokers []string, topic string, count int, path string) {
	client, err := sarama.NewClient(brokers, configuration())
	must("client", err)
	offsets := map[int32]int64{}
	for partition := int32(0); partition < partitions; partition++ {
		offsets[partition] = sarama.OffsetOldest
	}
	_, messages := open(client, topic, offsets)
	out, err := os.Create(path)
	must("file", err)
	defer out.Close()
	deadline := time.After(seconds)
	for seen := 0; seen < count; seen++ {
		select {
		case message := <-messages:
			fmt.Fprintf(out, "%d %s\n", message.Partition, message.Value)
		case <-deadline:
			return
		}
	}
}

// committed returns where the group stands, waiting while a transaction may still move that.
func committed(brokers []string, group, topic string) map[int32]int64 {
	client, err := sarama.NewClient(brokers, configuration())
	must("client", err)
	defer client.Close()
	deadline := time.Now().Add(seconds)
	for {
		must("coordinator", client.RefreshCoordinator(group))
		coordinator, err := client.Coordinator(group)
		must("coordinator", err)
		request := &sarama.OffsetFetchRequest{ConsumerGroup: group, Version: 7, RequireStable: true}
		for partition := int32(0); partition < partitions; partition++ {
			request.AddPartition(topic, partition)
		}
		response, err := coordinator.FetchOffset(request)
		offsets := map[int32]int64{}
		for partition := int32(0); err == nil && partition < partitions; partition++ {
			block := response.GetBlock(topic, partition)
			switch {
			case response.Err != sarama.ErrNoError:
				err = response.Err
			case block == nil:
				err = errors.New("a partition is missing")
			case block.Err != sarama.ErrNoError:
				err = block.Err
			case block.Offset < 0:
				offsets[partition] = sarama.OffsetOldest
			default:
				offsets[partition] = block.Offset
			}
		}
		if err == nil {
			return offsets
		}
		if time.Now().After(deadline) {
			fail("committed offsets: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func say(event string, value interface{}) {
	line, _ := json.Marshal(map[string]interface{}{event: value})
	fmt.Println(string(line))
}

func copyAll(brokers []string, input, output, group, identifier string, aborts float64) {
	var leaving atomic.Bool
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() && lines.Text() != "leave" {
		}
		leaving.Store(true)
	}()
	seed := fnv.New64()
	seed.Write([]byte(identifier))
	chance := rand.New(rand.NewSource(int64(seed.Sum64())))
	made := producer(brokers, identifier)
	for !leaving.Load() {
		client, err := sarama.NewClient(brokers, configuration())
		must("client", err)
		consumer, messages := open(client, input, committed(brokers, group, input))
		// Until a transaction is aborted: then all is read again from where the group stands.
		for !leaving.Load() {
			batch := take(messages)
			if len(batch) == 0 {
				continue
			}
			if !copyBatch(made, output, group, batch, chance.Float64() < aborts) {
				break
			}
		}
		go func() {
			for range messages {
			}
		}()
		consumer.Close()
		client.Close()
	}
	must("close", made.Close())
	say("left", true)
}

func take(messages chan *sarama.ConsumerMessage) []*sarama.ConsumerMessage {
	var batch []*sarama.ConsumerMessage
	deadline := time.After(200 * time.Millisecond)
	for len(batch) < 100 {
		select {
		case message := <-messages:
			batch = append(batch, message)
		case <-deadline:
			return batch
		}
	}
	return batch
}

// copyBatch says whether the batch is committed.
func copyBatch(made sarama.SyncProducer, output, group string, batch []*sarama.ConsumerMessage, abort bool) bool {
	must("begin", made.BeginTxn())
	var messages []*sarama.ProducerMessage
	var err error
	for _, message := range batch {
		messages = append(messages, &sarama.ProducerMessage{Topic: output, Partition: message.Partition, Value: sarama.ByteEncoder(message.Value)})
		if err == nil {
			err = made.AddMessageToTxn(message, group, nil)
		}
	}
	if err == nil {
		err = made.SendMessages(messages)
	}
	if err == nil && !abort {
		if err = made.CommitTxn(); err == nil {
			say("copied", len(batch))
			return true
		}
	}
	if made.TxnStatus()&sarama.ProducerTxnFlagFatalError != 0 {
		fail("copy: %v", err)
	}
	must("abort", made.AbortTxn())
	say("aborted", len(batch))
	return false
}
