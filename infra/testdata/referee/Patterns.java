import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import software.amazon.event.ruler.Ruler;

/**
 * Reads lines of {"pattern": …, "event": …}, and writes for each whether the pattern takes the event, or why it cannot say. Both may be texts that
 * contain the JSON, where it matters how a number is written.
 */
public class Patterns {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            var asked = json.readTree(line);
            try {
                System.out.println(Ruler.matchesRule(text(asked.get("event")), text(asked.get("pattern"))));
            } catch (Exception e) {
                System.out.println("refused: " + String.valueOf(e.getMessage()).replace('\n', ' '));
            }
        }
    }

    static String text(JsonNode given) {
        return given.isTextual() ? given.asText() : given.toString();
    }
}
