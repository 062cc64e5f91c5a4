/** Why a checkpoint cannot be read. The model builder and the adapters say it in their own codes; the message names the file and what is wrong. */
export type CheckpointErrorCode = 'checkpoint_missing' | 'checkpoint_unreadable' | 'checkpoint_invalid' | 'tensor_missing'

/** Characters of a message: what a file calls its tensors and keys, and what it says of them, may be of any length. */
const LONGEST = 1000

export const bounded = (message: string) => (message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message)

export class CheckpointError extends Error {
  readonly code: CheckpointErrorCode

  constructor(code: CheckpointErrorCode, message: string) {
    super(bounded(message))
    this.name = 'CheckpointError'
    this.code = code
  }
}
