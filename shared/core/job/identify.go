package job

import (
	"bytes"
	"cmp"
	"encoding/json"
)

// idIn returns the job_id of a text that cannot be read as a job, because it is too large, nested too deeply or truncated. It returns "" if no valid job_id
// comes before the place where the text is no longer JSON.
func idIn(detail []byte) string {
	d := json.NewDecoder(bytes.NewReader(detail))
	first, err := d.Token()
	if err != nil {
		return ""
	}
	id := ""
	if text, isText := first.(string); isText {
		id = idIn([]byte(text))
	} else if first == json.Delim('{') {
		id, _ = idAmong(d, false) // an id found before the end of a truncated text counts
	}
	if !jobID.MatchString(id) {
		return ""
	}
	return id
}

// idAmong returns the job_id among the members of the object that the decoder has entered, or of the job wrapped in it.
func idAmong(d *json.Decoder, inner bool) (id string, err error) {
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return id, err
		}
		value, err := d.Token()
		if err != nil {
			return id, err
		}
		wrapped := !inner && name == "job"
		switch value := value.(type) {
		case string:
			if name == "job_id" {
				id = value
			} else if wrapped {
				id = cmp.Or(id, idIn([]byte(value)))
			}
		case json.Delim:
			if wrapped && value == '{' {
				own, err := idAmong(d, true)
				id = cmp.Or(id, own)
				if err != nil {
					return id, err
				}
			} else if err := skip(d); err != nil {
				return id, err
			}
		}
	}
	_, err = d.Token() // the closing brace
	return id, err
}

// skip reads to the end of the list or object that the decoder has entered.
func skip(d *json.Decoder) error {
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}
