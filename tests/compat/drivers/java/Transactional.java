import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The Java client in transactions; the commands are those of transaction_plan.py. */
public final class Transactional {
    private static final int PARTITIONS = 3, EACH = 30;
    private static final Duration TIME = Duration.ofSeconds(60);
    private static final Map<String, Boolean> TRANSACTIONS = new LinkedHashMap<>();

    static {
        TRANSACTIONS.put("first", true);
        TRANSACTIONS.put("dropped", false);
        TRANSACTIONS.put("second", true);
        TRANSACTIONS.put("forgotten", false);
        TRANSACTIONS.put("third", true);
    }

    private final Properties servers = new Properties();
    private final String topic;

    private Transactional(String bootstrap, String topic) {
        servers.put("bootstrap.servers", bootstrap);
        this.topic = topic;
    }

    public static void main(String[] words) throws Exception {
        Transactional driver = new Transactional(words[1], words[3]);
        switch (words[2]) {
            case "write" -> driver.writeAll(words[4]);
            case "read" -> driver.read(Integer.parseInt(words[4]), Path.of(words[5]));
            case "fence" -> driver.fence(words[4]);
            default -> driver.copy(words[4], words[5], words[6], Double.parseDouble(words[7]));
        }
    }

    private KafkaProducer<String, String> producer(String identifier) {
        Properties properties = new Properties();
        properties.putAll(servers);
        properties.put("transactional.id", identifier);
        properties.put("transaction.timeout.ms", 20_000);
        var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        return producer;
    }

    private KafkaConsumer<String, String> consumer(String group) {
        Properties properties = new Properties();
        properties.putAll(servers);
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", false);
        properties.put("max.poll.records", 100);
        if (group != null) {
            String session = System.getenv().getOrDefault("COMPAT_SESSION_TIMEOUT_MS", "30000");
            properties.put("group.id", group);
            properties.put("session.timeout.ms", Integer.parseInt(session));
            properties.put("heartbeat.interval.ms", 500);
            if (System.getenv("COMPAT_INSTANCE") != null) {
                properties.put("group.instance.id", System.getenv("COMPAT_INSTANCE"));
            }
        }
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    private void write(KafkaProducer<String, String> producer, String name) {
        producer.beginTransaction();
        for (int number = 0; number < EACH; number++) {
            producer.send(new ProducerRecord<>(topic, number % PARTITIONS, null, name + " " + number));
        }
    }

    private void writeAll(String identifier) {
        try (var producer = producer(identifier)) {
            TRANSACTIONS.forEach((name, isCommitted) -> {
                write(producer, name);
                if (isCommitted) {
                    producer.commitTransaction();
                } else {
                    producer.flush();
                    producer.abortTransaction();
                }
            });
        }
    }

    private void fence(String identifier) {
        var first = producer(identifier);
        write(first, "fenced");
        first.flush();
        try (var second = producer(identifier)) {
            write(second, "fencing");
            second.commitTransaction();
        }
        try {
            first.commitTransaction();
        } catch (ProducerFencedException | InvalidProducerEpochException expected) {
            first.close(Duration.ZERO);
            return;
        }
        throw new IllegalStateException("the first producer was not fenced");
    }

    private void read(int count, Path file) throws IOException {
        List<String> lines = new ArrayList<>();
        try (var consumer = consumer(null)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                partitions.add(new TopicPartition(topic, partition));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + TIME.toNanos();
            while (lines.size() < count && System.nanoTime() < deadline) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                    lines.add(record.partition() + " " + record.value());
                }
            }
        }
        Files.write(file, lines);
    }

    private static void say(String event, Object value) {
        System.out.println("{\"" + event + "\": " + value + "}");
        System.out.flush();
    }

    private static void reset(KafkaConsumer<String, String> consumer) {
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment(), TIME);
        for (TopicPartition partition : consumer.assignment()) {
            OffsetAndMetadata position = committed.get(partition);
            if (position == null) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seek(partition, position.offset());
            }
        }
    }

    private void copy(String output, String group, String identifier, double aborts) {
        AtomicBoolean isLeaving = new AtomicBoolean();
        Thread orders = new Thread(() -> {
            try (var lines = new BufferedReader(new InputStreamReader(System.in))) {
                for (String line = lines.readLine(); line != null && !line.equals("leave"); line = lines.readLine()) {
                }
            } catch (IOException gone) {
                // As the end of it.
            }
            isLeaving.set(true);
        });
        orders.setDaemon(true);
        orders.start();
        Random random = new Random(identifier.hashCode());
        try (var consumer = consumer(group); var producer = producer(identifier)) {
            consumer.subscribe(List.of(topic));
            while (!isLeaving.get()) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (!records.isEmpty()) {
                    copyBatch(consumer, producer, output, records, random.nextDouble() < aborts);
                }
            }
        }
        say("left", true);
    }

    private static void copyBatch(KafkaConsumer<String, String> consumer, KafkaProducer<String, String> producer, String output,
                                  ConsumerRecords<String, String> records, boolean isAborted) {
        try {
            producer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (ConsumerRecord<String, String> record : records) {
                producer.send(new ProducerRecord<>(output, record.partition(), record.key(), record.value()));
                offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            if (!isAborted) {
                producer.commitTransaction();
                say("copied", records.count());
                return;
            }
            producer.flush();
        } catch (ProducerFencedException | AuthorizationException fatal) {
            throw fatal;
        } catch (KafkaException abortable) {
            // The transaction is aborted, and what it held copied again.
        }
        producer.abortTransaction();
        say("aborted", records.count());
        reset(consumer);
    }
}
