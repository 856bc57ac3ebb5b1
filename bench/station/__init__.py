"""Questions about the station: does it lose events, does it grow, how many events can it deliver?"""
