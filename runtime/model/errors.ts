/** Why a model folder cannot be served. Codes are stable. */
export type ModelErrorCode =
  | 'model_file_missing'
  | 'model_file_invalid'
  | 'unsupported_model_type'
  | 'unsupported_config'
  | 'invalid_config'
  | 'tensor_missing'
  | 'tensor_invalid'

export class ModelError extends Error {
  readonly code: ModelErrorCode
  constructor(code: ModelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ModelError'
    this.code = code
  }
}
