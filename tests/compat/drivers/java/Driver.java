import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client's driver: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE | member TOPIC GROUP STRATEGY INSTANCE. */
public final class Driver {
    private static final int PARTITIONS = 3;
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[1], command = arguments[2], topic = arguments[3];
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        switch (command) {
            case "create" -> {
                try (Admin admin = Admin.create(properties)) {
                    admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 3))).all().get();
                }
            }
            case "produce" -> produce(properties, topic, arguments[4], arguments[5], Path.of(arguments[6]));
            case "member" -> Member.run(properties, topic, arguments[4], arguments[5], arguments[6]);
            default -> consume(properties, topic, Integer.parseInt(arguments[4]), Path.of(arguments[5]));
        }
    }

    private static byte[] decode(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    private static void produce(Properties properties, String topic, String acks, String codec, Path file) throws Exception {
        properties.put("acks", acks);
        properties.put("compression.type", codec);
        properties.put("enable.idempotence", acks.equals("all"));
        properties.put("max.request.size", 1_048_588);
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String line : Files.readAllLines(file)) {
                JsonNode node = JSON.readTree(line);
                JsonNode timestamp = node.get("timestamp");
                var record = new ProducerRecord<>(topic, node.get("partition").asInt(),
                        timestamp.isNull() ? null : timestamp.asLong(), decode(node.get("key")), decode(node.get("value")));
                for (JsonNode header : node.get("headers")) {
                    record.headers().add(header.get(0).asText(), decode(header.get(1)));
                }
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> future : sent) {
                future.get();
            }
        }
    }

    private static void consume(Properties properties, String topic, int count, Path file) throws Exception {
        properties.put("auto.offset.reset", "earliest");
        properties.put("max.partition.fetch.bytes", 2_000_000);
        List<String> lines = new ArrayList<>();
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                partitions.add(new TopicPartition(topic, partition));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (lines.size() < count && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    ObjectNode node = JSON.createObjectNode();
                    node.put("partition", record.partition()).put("key", record.key()).put("value", record.value());
                    node.put("timestamp", record.timestamp());
                    ArrayNode headers = node.putArray("headers");
                    for (Header header : record.headers()) {
                        headers.addArray().add(header.key()).add(header.value());
                    }
                    lines.add(JSON.writeValueAsString(node));
                }
            }
        }
        Files.write(file, lines);
    }
}
