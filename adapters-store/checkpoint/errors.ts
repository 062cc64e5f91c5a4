/** Why a checkpoint cannot be read. The model builder and the adapters say it in their own codes; the message names the file and what is wrong. */
export type CheckpointErrorCode = 'checkpoint_missing' | 'checkpoint_unreadable' | 'checkpoint_invalid' | 'tensor_missing'

export class CheckpointError extends Error {
  readonly code: CheckpointErrorCode

  constructor(code: CheckpointErrorCode, message: string) {
    super(message)
    this.name = 'CheckpointError'
    this.code = code
  }
}
