// Reads the definitions that are named, and prints what the two linters have against each: one line each, nothing when all is well.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const installed = createRequire(join(folder, "package.json"));
const validate = installed("asl-validator");
const { getLanguageService } = installed("amazon-states-language-service");
const { TextDocument } = installed("vscode-languageserver-textdocument");
const service = getLanguageService({ workspaceContext: { resolveRelativePath: (path) => path } });

for (const file of files) {
  const text = readFileSync(file, "utf8");
  const { isValid, errors } = validate(JSON.parse(text));
  if (!isValid) {
    for (const e of errors) console.log(`${file}: asl-validator: ${e.Message}`);
  }
  const document = TextDocument.create("file:///" + file, "asl", 1, text);
  for (const d of await service.doValidation(document, service.parseJSONDocument(document))) {
    console.log(`${file}:${d.range.start.line + 1}: amazon-states-language-service: ${d.message}`);
  }
}
