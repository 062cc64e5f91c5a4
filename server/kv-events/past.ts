/** The last batches that were published, for those who missed some. */

export interface Published {
  sequence: number
  payload: Uint8Array
}

export class Past {
  private readonly ring: Published[] = []
  private readonly most: number
  private next = 0

  constructor(most: number) {
    this.most = most
  }

  add(batch: Published): void {
    this.ring[this.next] = batch
    this.next = (this.next + 1) % this.most
  }

  /** Those from a number on, in order, as they are now. */
  from(sequence: bigint): Published[] {
    const { ring, next } = this
    const ordered = ring.length < this.most ? ring : [...ring.slice(next), ...ring.slice(0, next)]
    return ordered.filter((batch) => BigInt(batch.sequence) >= sequence)
  }
}
