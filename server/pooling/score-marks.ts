/** Which chat templates are written for pairs of a query and a document: those that look for messages of these roles. */

const looksFor = (role: string) => new RegExp(`role\\W[^{}\\n]{0,24}['"]${role}['"]`)
const QUERY = looksFor('query')
const DOCUMENT = looksFor('document')

export const isScoreTemplate = (source: string | undefined): boolean =>
  source !== undefined && QUERY.test(source) && DOCUMENT.test(source)
