/** Why the engine refuses or fails a sequence. Codes are stable; the server maps them to HTTP. */
export type EngineErrorCode =
  /** The request can never run: its prompt, or prompt and adapters together, do not fit the context or the pool. */
  | 'context_length_exceeded'
  | 'pool_too_small'
  /** Its first token could not be expected by the time that it wanted. */
  | 'too_late'
  | 'empty_prompt'
  | 'token_out_of_range'
  | 'duplicate_id'
  /** The adapter was not given to the engine, or was removed meanwhile. */
  | 'unknown_adapter'
  /** It acts on a part of the prompt alone, and another that it is mixed with does not. */
  | 'adapter_not_mixable'
  /** A rank was asked for, and not all that it changes is made of rank rows. */
  | 'adapter_without_ranks'
  /** Text was to be generated, by a model without a language-model head or with an adapter that was trained for something else. */
  | 'not_generative'
  /** The addon refused its image when it was to be brought into the pool. */
  | 'adapter_not_loadable'
  /** The image was packed for other blocks or another row type than this engine's. */
  | 'adapter_layout_mismatch'
  /** What lies in the pool is not the residency that the batch named. */
  | 'adapter_identity_mismatch'
  | 'non_finite_logits'
  /** Its constraint and what else it asks for allow no token. */
  | 'constraint_unsatisfiable'
  /** The thread that made its masks is gone, or could make none. */
  | 'constraint_lost'
  | 'step_failed'
  | 'engine_closed'
  | 'engine_failed'
  | 'invalid_settings'

export class EngineError extends Error {
  readonly code: EngineErrorCode
  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EngineError'
    this.code = code
  }
}
