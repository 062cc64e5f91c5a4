/** What an answer's text must be, as requests say it (response_format, structured_outputs, tool_choice). */
export type Constraint =
  /** JSON of this schema; `true`: any JSON object. */
  | { kind: 'json'; schema: object | true }
  | { kind: 'regex'; pattern: string }
  | { kind: 'choice'; choices: string[] }
  /** XGrammar's EBNF. */
  | { kind: 'grammar'; ebnf: string }
  /** vLLM's structural tags. */
  | { kind: 'structural_tag'; tag: object }
