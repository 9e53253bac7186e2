import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import software.amazon.event.ruler.Ruler;

/** Reads lines of {"pattern": …, "event": …}, and writes for each whether the pattern takes the event, or why it cannot say. */
public class Patterns {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            var asked = json.readTree(line);
            try {
                System.out.println(Ruler.matchesRule(asked.get("event").toString(), asked.get("pattern").toString()));
            } catch (Exception e) {
                System.out.println("refused: " + e.getMessage());
            }
        }
    }
}
