import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's own command line tools, many in one JVM: reads a JSON array of words a line, the class of the tool and its arguments, and answers
 * a line with the exit status and all that the tool printed.
 */
public final class Tools {
    private static final class Ended extends RuntimeException {
        final int status;

        Ended(int status) {
            super(null, null, false, false);
            this.status = status;
        }
    }

    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> {
            throw new Ended(status);
        });
        try (var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] words = json.readValue(line, String[].class);
                ByteArrayOutputStream printed = new ByteArrayOutputStream();
                System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
                System.setErr(System.out);
                int status = run(words);
                answers.println(json.writeValueAsString(Map.of("status", status, "printed", printed.toString(StandardCharsets.UTF_8))));
                answers.flush();
            }
        }
    }

    private static int run(String[] words) throws ReflectiveOperationException {
        String[] rest = java.util.Arrays.copyOfRange(words, 1, words.length);
        try {
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) rest);
            return 0;
        } catch (InvocationTargetException thrown) {
            for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
                if (cause instanceof Ended ended) {
                    return ended.status;
                }
            }
            thrown.getCause().printStackTrace();
            return 1;
        }
    }
}
