// Keyboard and links for a table that is built by a script and was made for the mouse; and the search below it.
document.documentElement.lang = 'en'

const rowOf = (hash) => hash.length > 1 ? document.getElementById(decodeURIComponent(hash.slice(1))) : null

const press = (element) => {
  const row = element.closest('tbody.results-table-row')?.id
  const column = element.dataset.columnType
  element.click()
  // The table was built anew: go on from where one was.
  const again = row ? document.getElementById(row)?.querySelector('[tabindex]')
    : document.querySelector(`th[data-column-type="${column}"]`)
  again?.focus()
}

const reveal = (hash) => {
  const row = rowOf(hash)
  if (row?.querySelector('.extras-row.hidden')) row.querySelector('.col-testId').click()
}

document.addEventListener('keydown', (event) => {
  if ((event.key === 'Enter' || event.key === ' ') && event.target.matches('#results-table [tabindex]')) {
    event.preventDefault()
    press(event.target)
  }
})

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="#"]')
  if (link) reveal(link.hash)
})

window.addEventListener('load', () => {
  reveal(location.hash)
  rowOf(location.hash)?.scrollIntoView()
})

const search = document.getElementById('rest-search')
if (search) {
  const lists = [...document.querySelectorAll('.rest details')].map((list) => {
    const text = list.querySelector('pre')
    return { list, text, lines: text.textContent.split('\n') }
  })
  search.addEventListener('input', () => {
    const wanted = search.value.trim().toLowerCase()
    let found = 0
    for (const { list, text, lines } of lists) {
      const kept = wanted ? lines.filter((line) => line.toLowerCase().includes(wanted)) : lines
      text.textContent = kept.join('\n')
      list.open = wanted !== '' && kept.length > 0
      list.hidden = kept.length === 0
      found += kept.length
    }
    document.getElementById('rest-found').textContent = wanted ? `${found} found` : ''
  })
}
