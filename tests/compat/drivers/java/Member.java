import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A group member on the classic protocol: tells the events of member_events.py and commits after each batch. */
final class Member {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, String> ASSIGNORS = Map.of(
            "range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private static void say(String name, Object value) {
        try {
            System.out.println(JSON.writeValueAsString(Map.of(name, value)));
            System.out.flush();
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static List<Integer> numbers(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::partition).toList();
    }

    /** True once stdin says so, or ends. */
    private static AtomicBoolean leave() {
        AtomicBoolean leave = new AtomicBoolean();
        Thread listener = new Thread(() -> {
            try (var lines = new BufferedReader(new InputStreamReader(System.in))) {
                for (String line = lines.readLine(); line != null && !line.equals("leave"); line = lines.readLine()) {
                }
            } catch (IOException closed) {
                // The same as its end.
            }
            leave.set(true);
        });
        listener.setDaemon(true);
        listener.start();
        return leave;
    }

    private final KafkaConsumer<String, String> consumer;
    private boolean uncommitted;

    private Member(KafkaConsumer<String, String> consumer) {
        this.consumer = consumer;
    }

    /** Commits what was processed. While the group rebalances around a member that keeps its partitions, it cannot: the next turn does. */
    private void commit() {
        try {
            consumer.commitSync();
            uncommitted = false;
        } catch (RebalanceInProgressException later) {
            uncommitted = true;
        }
    }

    /** Tells what the member gains and loses, and commits before it gives partitions away. */
    private final class Told implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            say("assigned", numbers(partitions));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            if (uncommitted) {
                commit();
            }
            say("revoked", numbers(partitions));
        }
    }

    private void turns(AtomicBoolean leave) {
        int generation = -1;
        while (!leave.get() || uncommitted) {
            ConsumerRecords<String, String> batch = consumer.poll(Duration.ofMillis(100));
            for (ConsumerRecord<String, String> record : batch) {
                say("record", List.of(record.partition(), record.offset(), record.value()));
            }
            if (!batch.isEmpty() || uncommitted) {
                commit();
            }
            if (consumer.groupMetadata().generationId() != generation) {
                generation = consumer.groupMetadata().generationId();
                say("generation", generation);
            }
        }
    }

    static void run(Properties properties, String topic, String group, String strategy, String instance) {
        properties.put("group.id", group);
        properties.put("group.protocol", "classic");
        properties.put("partition.assignment.strategy", ASSIGNORS.get(strategy));
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", false);
        properties.put("session.timeout.ms", System.getenv().getOrDefault("COMPAT_SESSION_TIMEOUT_MS", "30000"));
        properties.put("heartbeat.interval.ms", 500);
        if (!instance.equals("-")) {
            properties.put("group.instance.id", instance);
        }
        AtomicBoolean leave = leave();
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            Member member = new Member(consumer);
            consumer.subscribe(List.of(topic), member.new Told());
            member.turns(leave);
        }
        say("left", true);
    }
}
