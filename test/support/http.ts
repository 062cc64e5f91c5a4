/** Requests as they are, for what the typed clients cannot send. */
export interface Answer {
  status: number
  headers: Headers
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on what the answer holds
  json: any
}

/** `body` is sent as it stands; with a content-type of JSON unless another is given. */
export async function request(
  url: string,
  init: { method?: string; body?: string | Buffer; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const method = init.method ?? (init.body === undefined ? 'GET' : 'POST')
  const headers = { ...(init.body !== undefined && { 'content-type': 'application/json' }), ...init.headers }
  const response = await fetch(url, { method, headers, body: init.body })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  return { status: response.status, headers: response.headers, text, json: isJson && text !== '' ? JSON.parse(text) : undefined }
}
