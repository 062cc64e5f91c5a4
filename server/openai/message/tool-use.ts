/** Which tools a request brings, and how they may be called. */

export interface ToolDefinition {
  name: string
  description?: string
  /** A JSON schema of an object. Absent: it takes none. */
  parameters?: object
}

export interface ToolUse {
  tools: readonly ToolDefinition[]
  /** `name`: this one. */
  choice: 'none' | 'auto' | 'required' | { name: string }
  /** More than one call in a message. */
  parallel: boolean
}
